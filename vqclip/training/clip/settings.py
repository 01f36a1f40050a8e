"""Settings for training a CLIP model: the ``loss`` section of its YAML."""

from dataclasses import dataclass
from typing import Literal

from vqclip.config.checks import finite
from vqclip.errors import UsageError


def _share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise UsageError(f"{name} must be a share from 0 to 1, not {value}")


@dataclass(frozen=True)
class ViewSettings:
    """How images are viewed in training: mostly as cutouts, as in generation.

    share: fraction of images viewed as cutouts; the rest are viewed whole.
    method, cut_power, augment, noise: see :mod:`vqclip.generation.cutouts`. By default, the hue
        varies less than in generation, because captions name colours.
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
    """How images are perturbed towards other texts; see :mod:`vqclip.training.clip.attacks`.

    kind: ``none``; ``pixel``, to perturb pixels; or ``latent``, to perturb the latents of
        ``vqgan``, which is a path or ``default``.
    epsilon: root mean square of the perturbation. For ``pixel``, it refers to pixel values in
        [0, 1]; for ``latent``, it is measured in standard deviations of the codebook.
    steps: number of gradient ascent steps.
    share: fraction of the images in a batch that are attacked.
    blur: for ``pixel``, side in pixels of the blocks over which perturbations are averaged.
    warmup: number of training steps over which epsilon grows from 0.
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
    """Hard negatives: generated images that do not match their prompts.

    path: JSONL file whose rows have a ``picture`` (an image path relative to the JSONL file), a
        ``prompt`` and, optionally, a ``group``.
    share: number of negatives to add, relative to the batch size.
    """

    path: str
    share: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.share <= 4:
            raise UsageError(f"negatives.share must be above 0 and at most 4, not {self.share}")


@dataclass(frozen=True)
class TokenSettings:
    """Initial values and learning rate of the token embeddings.

    table: safetensors file with ``token_embedding.weight``, (vocabulary, width or more); columns
        beyond the model's width are ignored.
    std: standard deviation to scale the table to.
    rate: factor for the embeddings' learning rate; 0 freezes them.
    """

    table: str | None = None
    std: float = 0.05
    rate: float = 1.0

    def __post_init__(self) -> None:
        if not self.std > 0 or not self.rate >= 0:
            raise UsageError("tokens.std must be above 0, and tokens.rate at least 0")


@dataclass(frozen=True)
class ClipSettings:
    """Settings for training a CLIP model.

    positives: the field that matching pairs share, ``text`` or ``group``. With ``text``,
        pairs with different texts from the same group count as neither positive nor negative.
    smoothing: label smoothing.
    contrast: weight of the contrastive loss; 0 trains without images.
    teacher, teacher_weight: another CLIP model, named as in :func:`vqclip.load_perceptor`, and the
        weight of the loss 1 - cos, which makes the model imitate the teacher's text embeddings.
    lock: whether the image tower is frozen while the text tower learns to match it (LiT, Zhai
        et al. 2022, arXiv:2111.07991). The projection that follows a timm tower is not frozen.
    weight_decay, betas, eps: parameters of AdamW; the defaults, except for the decay, are those
        of CLIP's vision transformers.
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
        finite("loss.weight_decay", self.weight_decay)
        if not 0 <= self.smoothing < 1:
            raise UsageError(f"loss.smoothing must be at least 0 and below 1, not {self.smoothing}")
        if not self.contrast >= 0 or not self.teacher_weight > 0:
            raise UsageError("loss.contrast must be at least 0, and loss.teacher_weight above 0")
        if self.contrast == 0 and self.teacher is None:
            raise UsageError("loss.contrast: 0 requires a loss.teacher")
