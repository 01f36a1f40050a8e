"""Settings for training a transformer."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vqclip.config.checks import finite
from vqclip.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class TransformerLoss:
    """The ``loss`` section for training a transformer.

    Shares are fractions of the samples and apply to transformers conditioned on CLIP embeddings.
    The remaining samples are conditioned on the image's embedding.

    text: share conditioned on the caption's embedding.
    mix: share conditioned on a random point between the embeddings of the caption and the image.
    noise: length of a random vector added to the unit-length embedding, as LAFITE does with image
        embeddings (Zhou et al. 2022, arXiv:2111.13792, eq. 4). The noise also keeps the model from
        memorizing captions.
    drop: share trained without a condition, for classifier-free guidance.
    style: share trained with the sample's style, if model and data have styles.
    weight_decay: decay of the weights of linear layers.
    muon: whether to train the matrices in the GPT blocks with Muon (Jordan et al. 2024), and only
        the remaining parameters with AdamW.
    guidance: guidance scale for the sample images.
    half: whether to store the exported weights in half precision.
    sketch: weight of an additional loss -log p(s_i | c) on the sketch of CLIP embeddings, from
        which each code is predicted on its own. The sketch learns outlines long before the rest of
        the model, which can then rely on them.
    sketch_only: whether to train only the sketch of CLIP embeddings (and the head that reads it),
        with the loss -log p(s_i | c) for each code on its own. This mode processes hundreds of
        images per second, and its result can initialize the training of the whole model.
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
                raise UsageError(
                    f"loss.{name} must be a share from 0 to 1, not {getattr(self, name)}"
                )
        if self.text + self.mix > 1:
            raise UsageError(
                "loss.text and loss.mix are shares of all samples: their sum must be at most 1"
            )
        for name in ("noise", "weight_decay", "guidance", "sketch"):
            finite(f"loss.{name}", getattr(self, name))


def mixed_embeddings(
    image: Tensor, text: Tensor, chance: Tensor, settings: TransformerLoss
) -> Tensor:
    """Return training conditions: noisy unit vectors (b, d) between image and caption embeddings.

    chance: (b,) in [0, 1). Values below ``text`` select the caption. Values from there to ``text``
        + ``mix`` select a point between caption and image, closer to the image for larger values.
        All higher values select the image.
    """
    share = ((chance - settings.text) / (settings.mix or 1)).clamp(0, 1)  # the image's share
    share = torch.where(chance < settings.text + settings.mix, share, 1.0)[:, None]
    between = F.normalize(share * image + (1 - share) * text, dim=-1)
    noise = settings.noise * F.normalize(torch.randn_like(image), dim=-1)
    return F.normalize(between + noise, dim=-1)
