"""Settings of a transformer's training."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vqclip.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class TransformerLoss:
    """The section ``loss`` of a transformer's training.

    The shares are of samples, for a transformer conditioned on CLIP embeddings; the rest sees the
    embedding of the image.

    text: share that sees the embedding of the caption.
    mix: share that sees a random point between caption and image.
    noise: length of the random vector added to the embedding, of length 1 itself, as LAFITE does
        with images (Zhou et al. 2022, arXiv:2111.13792, eq. 4): captions too are not to be known
        by heart.
    drop: share that sees no condition, for classifier-free guidance.
    style: share that is told its style, where model and data have styles.
    weight_decay: of linear layers.
    muon: train the matrices of the blocks by Muon (Jordan et al. 2024), all else by AdamW.
    guidance: of the samples to look at.
    half: store the exported weights in half precision.
    sketch: weight of what the sketch of CLIP embeddings says by itself, p(s_i | c) of each code:
        it learns outlines long before the rest does, which then need not guess them.
    sketch_only: train only the sketch of CLIP embeddings (and the head that reads it): p(s_i | c)
        of each code by itself, hundreds of images a second; to be the start of the rest.
    """

    text: float = 0.5
    mix: float = 0.2
    noise: float = 0.2
    drop: float = 0.1
    style: float = 0.7
    weight_decay: float = 0.01
    muon: bool = False
    guidance: float = 3.0
    half: bool = False
    sketch: float = 0.0
    sketch_only: bool = False

    def __post_init__(self) -> None:
        for name in ("text", "mix", "drop", "style"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"loss.{name} is a share, 0 to 1, not {getattr(self, name)}")
        if self.text + self.mix > 1:
            raise UsageError("loss.text and loss.mix are shares of all samples: at most 1 together")
        if not 0 <= self.noise < math.inf:
            raise UsageError(f"loss.noise must be at least 0, not {self.noise}")


def mixed_embeddings(
    image: Tensor, text: Tensor, chance: Tensor, settings: TransformerLoss
) -> Tensor:
    """Conditions of training, unit vectors (b, d), between those of images and captions.

    chance: (b,) in [0, 1): below ``text`` it is the caption; in the ``mix`` that follows a point
        between the two, the farther up the nearer to the image; above that, the image.
    """
    share = ((chance - settings.text) / (settings.mix or 1)).clamp(0, 1)  # of the image
    share = torch.where(chance < settings.text + settings.mix, share, 1.0)[:, None]
    between = F.normalize(share * image + (1 - share) * text, dim=-1)
    noise = settings.noise * F.normalize(torch.randn_like(image), dim=-1)
    return F.normalize(between + noise, dim=-1)
