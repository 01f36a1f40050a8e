"""The settings of pictures that a transformer draws, or completes."""

from dataclasses import dataclass
from typing import Any

from vqclip.config.checks import (
    DEFAULT,
    MAX_SIDE,
    Weighted,
    at_least,
    check_seed,
    check_size,
    finite,
    json_values,
)
from vqclip.config.prompts import Prompt
from vqclip.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class SampleConfig:
    """Everything that decides the bytes of pictures that a transformer draws.

    transformer, transformer_config: weights and, where it does not lie beside them, their yaml.
    conditions: what to draw, (kind, value): see :mod:`vqclip.sampling.conditions`.
    relabel: ``"3=sky"``: what the numbers in a label map stand for; none, what they say.
    size: (width, height) in pixels; None is the condition's, or that of the VQGAN's training.
    samples: so many pictures; the i-th of them is drawn with the seed ``seed`` + i.
    guidance: how much the prompts count where the transformer is conditioned on CLIP.
    temperature, top_k, top_p: see :class:`vqclip.models.sampling.Sampler`; top_k 0 keeps all.
    prompts, clip: by what the pictures are ranked.

    Raises:
        UsageError: a value that is out of range.
    """

    transformer: str = DEFAULT
    transformer_config: str | None = None
    conditions: tuple[tuple[str, str], ...] = ()
    relabel: tuple[str, ...] = ()
    size: tuple[int, int] | None = None
    samples: int = 1
    seed: int = 0
    guidance: float = 4.0
    temperature: float = 1.0
    top_k: int = 250
    top_p: float = 1.0
    prompts: tuple[Prompt, ...] = ()
    clip: tuple[Weighted, ...] = ((DEFAULT, 1.0),)
    device: str = "auto"
    precision: str = "auto"

    def __post_init__(self) -> None:
        if self.size is not None:
            check_size(self.size)
        at_least("samples", self.samples, 1)
        at_least("top-k", self.top_k, 0)
        check_seed(self.seed)
        check_seed(self.seed + self.samples - 1)
        finite("guidance", self.guidance)
        finite("temperature", self.temperature)
        if not 0 < self.top_p <= 1:
            raise UsageError(f"top-p must be above 0 and at most 1, not {self.top_p}")
        if self.relabel and "labels" not in dict(self.conditions):
            raise UsageError("--label explains the numbers of a map: give one with --labels")

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        return json_values(self)


@dataclass(frozen=True, kw_only=True)
class CompleteConfig(SampleConfig):
    """Everything that decides the bytes of a completed picture.

    picture: a path or URL; ``size`` is one to resize it to first.
    keep: top, bottom, left or right (halves), ``box:x,y,w,h``, or the path of a mask, white where
        the picture is kept; None keeps all that is not transparent.
    extend: pixels to add on the left, at the top, on the right and at the bottom.
    refine: optimisation steps for the imagined codes of the best picture.
    paste: keep the kept pixels as they are; else they are what the VQGAN makes of them.
    """

    picture: str
    keep: str | None = None
    extend: tuple[int, int, int, int] = (0, 0, 0, 0)
    refine: int = 0
    paste: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least("refine", self.refine, 0)
        if self.refine and not self.prompts:
            raise UsageError("--refine needs a --prompt: it is what the picture is refined towards")
        if min(self.extend) < 0 or max(self.extend) > MAX_SIDE:
            raise UsageError(f"extend takes 0 to {MAX_SIDE} pixels a side, not {self.extend}")
