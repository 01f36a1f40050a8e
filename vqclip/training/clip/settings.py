"""Settings of a CLIP's training: the section ``loss`` of its YAML."""

from dataclasses import dataclass
from typing import Literal

from vqclip.errors import UsageError


def _share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise UsageError(f"{name} is a share, from 0 to 1, not {value}")


@dataclass(frozen=True)
class ViewSettings:
    """How images are looked at: as the cutouts of a generation are.

    share: of the images that are seen through a view; the others are seen whole.
    method, cut_power, augment, noise: see :mod:`vqclip.generation.cutouts`. The hue is varied less
        than there by default: colours are in the captions.
    """

    share: float = 0.85
    method: str = "normal-crops(mean=0.9, std=0.2, low=0.5)"
    cut_power: float = 1.0
    augment: tuple[str, ...] = (
        "flip",
        "affine(degrees=15, translate=0.1, shear=5)",
        "perspective(distortion=0.3, p=0.5)",
        "jitter(brightness=0.1, contrast=0.1, saturation=0.1, hue=0.02)",
    )
    noise: float = 0.1

    def __post_init__(self) -> None:
        _share("views.share", self.share)


@dataclass(frozen=True)
class AttackSettings:
    """How images are changed towards other texts: see :mod:`vqclip.training.clip.attacks`.

    kind: ``none``, ``pixel``, or ``latent`` (of ``vqgan``, a path or ``default``).
    epsilon: the size of the change: root mean square over the pixels, which lie in [0, 1]; for
        ``latent`` in standard deviations of the codebook.
    steps: of gradient ascent.
    share: of the images of a batch.
    blur: pixel changes are that much coarser than the pixels.
    warmup: training steps in which epsilon grows from 0.
    """

    kind: Literal["none", "pixel", "latent"] = "none"
    epsilon: float = 0.02
    steps: int = 1
    share: float = 0.5
    blur: int = 2
    warmup: int = 0
    vqgan: str = "default"

    def __post_init__(self) -> None:
        _share("attack.share", self.share)
        if not self.epsilon > 0:
            raise UsageError(f"attack.epsilon must be above 0, not {self.epsilon}")
        if self.steps < 1 or self.blur < 1 or self.warmup < 0:
            raise UsageError("attack.steps and attack.blur must be at least 1, warmup 0")


@dataclass(frozen=True)
class NegativeSettings:
    """Images that are not what they were meant to be: what optimisers draw.

    path: a JSONL with ``picture`` (a file beside it), ``prompt`` and, if known, its ``group``.
    share: of a batch, added to it.
    """

    path: str
    share: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.share <= 4:
            raise UsageError(f"negatives.share must be above 0 and at most 4, not {self.share}")


@dataclass(frozen=True)
class TokenSettings:
    """The initial values of the token embeddings.

    table: a safetensors file with ``token_embedding.weight``, (vocabulary, width or more); the
        first columns are taken.
    std: the standard deviation that the table is scaled to.
    rate: factor of their learning rate; 0 leaves them as they are.
    """

    table: str | None = None
    std: float = 0.05
    rate: float = 1.0

    def __post_init__(self) -> None:
        if not self.std > 0 or not self.rate >= 0:
            raise UsageError("tokens.std must be above 0, tokens.rate not below it")


@dataclass(frozen=True)
class ClipSettings:
    """The settings of a CLIP's training.

    positives: pairs belong together whose ``text`` coincides, or whose ``group`` does. With
        ``text``, pairs of one group and different texts are neither right nor wrong.
    smoothing: of labels.
    contrast: weight of the contrastive loss; 0 leaves images aside.
    teacher, teacher_weight: another CLIP, as :func:`vqclip.load_perceptor` takes it, of whose
        texts the embeddings are to be learned: 1 - cos, weighed.
    lock: whether the image tower stays as it is while the text tower learns to describe it: LiT,
        Zhai et al. 2022, arXiv:2111.07991. The projection behind a timm tower is not locked.
    weight_decay, betas, eps: of AdamW, as CLIP has them for its ResNets but for the decay.
    """

    positives: Literal["text", "group"] = "text"
    smoothing: float = 0.0
    contrast: float = 1.0
    teacher: str | None = None
    teacher_weight: float = 1.0
    lock: bool = False
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.98)
    eps: float = 1e-6
    views: ViewSettings = ViewSettings()
    attack: AttackSettings = AttackSettings()
    negatives: NegativeSettings | None = None
    tokens: TokenSettings = TokenSettings()

    def __post_init__(self) -> None:
        if not 0 <= self.smoothing < 1:
            raise UsageError(f"loss.smoothing must be at least 0 and below 1, not {self.smoothing}")
        if not self.contrast >= 0 or not self.teacher_weight > 0:
            raise UsageError("loss.contrast must not be below 0, loss.teacher_weight be above it")
        if self.contrast == 0 and self.teacher is None:
            raise UsageError("without contrast (loss.contrast: 0) there must be a loss.teacher")
