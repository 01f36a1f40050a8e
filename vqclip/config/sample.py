"""Settings for images sampled or completed by a transformer."""

from dataclasses import dataclass, replace
from typing import Any

from vqclip.config import shared
from vqclip.config.checks import (
    AUTO,
    DEFAULT,
    MAX_SIDE,
    Weighted,
    at_least,
    check_seed,
    check_size,
    json_values,
)
from vqclip.config.prompts import Prompt
from vqclip.config.sampling import Sampling
from vqclip.config.setting import IMAGE, Option, setting, shared_setting
from vqclip.config.spelling import EXTEND, WORDS, Border
from vqclip.config.typed import Typed
from vqclip.errors import UsageError

IN_MEMORY = "an image in memory"  # the name recorded for an input that is not a file

# The option for each kind of condition.
CONDITIONS = {
    "class": Option(
        ("--class",),
        panel=IMAGE,
        metavar="NAME|ID",
        help="Class name or number, for example from ImageNet (see `vqclip list classes`).",
    ),
    "labels": Option(
        ("--labels",),
        panel=IMAGE,
        metavar="MAP",
        help="Label map: a palette or greyscale PNG of label numbers.",
    ),
    "depth": Option(
        ("--depth",),
        panel=IMAGE,
        metavar="MAP",
        help="Depth map: 8- or 16-bit greyscale, or float32 values stored as RGBA bytes.",
    ),
    "edges": Option(
        ("--edges",),
        panel=IMAGE,
        metavar="MAP|PHOTO",
        help="Edge map (white lines on black), or a photo to detect edges in.",
    ),
    "upscale": Option(("--upscale",), panel=IMAGE, metavar="IMAGE", help="Small image to enlarge."),
}


@dataclass(frozen=True, kw_only=True)
class SampleConfig(Typed):
    """The settings that determine the bytes of images sampled from a transformer.

    transformer, transformer_config: weights of the transformer, and its YAML file if it is not
        beside them.
    conditions: pairs (kind, value); see :mod:`vqclip.sampling.conditions`.
    relabel: meanings of the numbers in a label map, such as ``"3=sky"``; if empty, the meanings in
        the training data apply.
    size: (width, height) in pixels; None means the size that the condition implies or,
        failing that, the VQGAN's training size.
    samples: number of images; image i is sampled with the seed ``seed`` + i.
    style: style of the images, if the transformer has styles: a name, ``auto`` or ``none``.
    guidance, temperature, top_k, top_p, recall: see :class:`vqclip.config.sampling.Sampling`;
        guidance and recall affect only CLIP-conditioned transformers.
    prompts, clip: the prompts, and the CLIP models that rank the images by similarity to the
        prompts.

    Raises:
        UsageError: a value is out of range.
    """

    transformer: str = shared_setting(DEFAULT, replace(shared.TRANSFORMER, left_open=True))
    transformer_config: str | None = shared_setting(None, shared.TRANSFORMER_CONFIG)
    conditions: tuple[tuple[str, str], ...] = ()
    relabel: tuple[str, ...] = setting(
        (),
        "--label",
        panel=IMAGE,
        metavar="NUMBER=NAME",
        spelling=WORDS,
        help="Label to assign to a number in the map, such as 3=sky or 3=157 (see `vqclip list "
        "coco-stuff`); may be repeated.",
    )
    size: tuple[int, int] | None = shared_setting(None, shared.SAMPLE_SIZE)
    samples: int = setting(
        1,
        *("--samples", "-c"),
        panel=IMAGE,
        help="Number of images to make, with consecutive seeds.",
    )
    seed: int = shared_setting(0, shared.SEED)
    style: str = shared_setting(AUTO, shared.STYLE)
    guidance: float = shared_setting(2.0, shared.GUIDANCE)
    temperature: float = shared_setting(1.0, shared.TEMPERATURE)
    top_k: int = shared_setting(250, shared.TOP_K)
    top_p: float = shared_setting(1.0, shared.TOP_P)
    recall: float = shared_setting(0.5, shared.RECALL)
    prompts: tuple[Prompt, ...] = ()
    clip: tuple[Weighted, ...] = shared_setting(((DEFAULT, 1.0),), shared.CLIP)
    device: str = shared_setting(AUTO, shared.DEVICE)
    precision: str = shared_setting(AUTO, shared.PRECISION)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_size(self.size)
        at_least("samples", self.samples, 1)
        check_seed(self.seed)
        check_seed(self.seed + self.samples - 1)
        _ = self.sampling  # checks its values
        if self.relabel and "labels" not in dict(self.conditions):
            raise UsageError("`relabel` needs a label map: add `labels`")

    @property
    def sampling(self) -> Sampling:
        """The transformer's sampling parameters."""
        return Sampling.of(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        return json_values(self)


@dataclass(frozen=True, kw_only=True)
class CompleteConfig(SampleConfig):
    """The settings that determine the bytes of a completed image.

    picture: path or URL of the image, which is first resized to ``size``; or ``IN_MEMORY``.
    keep: the part to keep, given as ``top``, ``bottom``, ``left`` or ``right`` (half the image), as
        ``box:x,y,w,h``, or as the path of a mask that is white where the image is kept. None keeps
        all opaque pixels.
    extend: number of pixels to add on the left, top, right and bottom.
    refine: number of optimisation steps for the generated codes of the best image.
    paste: whether to copy the kept pixels exactly, rather than use the VQGAN's reconstruction of
        them.
    """

    picture: str
    size: tuple[int, int] | None = shared_setting(None, shared.INPUT_SIZE)
    keep: str | None = setting(
        None,
        *("--keep", "-k"),
        panel=IMAGE,
        metavar="PART",
        help="Part to keep: top, bottom, left or right (half the image); box:x,y,w,h (in "
        "pixels); or a mask image in which the pixels to keep are white. Default: all "
        "pixels that are not transparent.",
    )
    extend: Border = setting(
        (0, 0, 0, 0),
        "--extend",
        panel=IMAGE,
        metavar="L,T,R,B",
        spelling=EXTEND,
        help="Number of pixels to add on the left, top, right and bottom.",
    )
    refine: int = setting(
        0,
        "--refine",
        panel=IMAGE,
        metavar="STEPS",
        help="Number of optimisation steps for the generated part of the best sample.",
    )
    paste: bool = setting(
        True,
        "--paste/--no-paste",
        panel=IMAGE,
        help="Copy the kept pixels exactly, or replace them with the VQGAN's reconstruction.",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least("refine", self.refine, 0)
        if self.refine and not self.prompts:
            raise UsageError("`refine` needs a prompt: add one, or drop `refine`")
        if min(self.extend) < 0 or max(self.extend) > MAX_SIDE:
            raise UsageError(f"extend takes 0 to {MAX_SIDE} pixels per side, not {self.extend}")
