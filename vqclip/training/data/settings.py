"""Settings for the training data, importable without torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from vqclip.config import FITS
from vqclip.config.checks import MAX_SIDE
from vqclip.errors import UsageError
from vqclip.registry import unknown
from vqclip.training.settings import parse_section

Where = Mapping[str, Any]  # column or not_column -> the values to allow or to exclude

_SHARES = (
    "colour", "gradient", "texture", "scene", "white", "moved", "mirrored", "shadow", "recolour",
    "pair",
)  # fmt: skip
DATA_CONDITIONS = ("class", "segmentation", "depth", "edges", "lr", "coordinates")


@dataclass(frozen=True)
class SourceConfig:
    """A source of images.

    path: a folder of images, or a ``.jsonl`` file in which each row contains a ``file``, its
        ``shard`` (a zip or tar beside the ``.jsonl``) and its ``text``; ``where`` and captions use
        the other columns. In a folder, ``a.txt`` beside ``a.png`` contains that image's captions,
        one per line.
    weight: how often images from this source are drawn, relative to other sources.
    where: use only the rows whose columns have these values.
    fit: how to make images square, one of :data:`vqclip.config.FITS`.
    """

    path: str
    weight: float = 1.0
    where: Where = field(default_factory=dict)
    fit: str = "cover"

    def __post_init__(self) -> None:
        if not self.weight > 0:
            raise UsageError(f"the weight of {self.path} must be above 0, not {self.weight}")
        if self.fit not in FITS:
            raise unknown("fit", self.fit, FITS)


@dataclass(frozen=True)
class WeightRule:
    """A rule that changes how often matching images are drawn.

    where: the column values of matching images.
    weight: factor by which the frequency of matching images is multiplied. If several rules match
        an image, all their factors apply.
    """

    where: Where
    weight: float

    def __post_init__(self) -> None:
        if not self.weight >= 0:
            raise UsageError(f"a weight must be at least 0, not {self.weight}")


@dataclass(frozen=True)
class HoldOutConfig:
    """The data held out from training.

    share: fraction of groups to hold out; a group consists of all images with the same caption.
        Groups are chosen by their hash alone, so other settings do not change which ones are held
        out. If there are few images and the hashes choose no group, one is held out anyway.
    where: also hold out all images with these column values, as a separate style.
    salt: text that changes which groups are chosen.
    judge: whether to validate on the held-out ``groups`` or on the held-out ``style``.
    crop: whether to validate on a centre crop of ``data.crop`` pixels instead of the whole image.
    """

    share: float = 0.04
    where: Where = field(default_factory=dict)
    salt: str = ""
    judge: Literal["groups", "style"] = "groups"
    crop: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.share < 1:
            raise UsageError(
                f"data.hold_out.share must be at least 0 and below 1, not {self.share}"
            )


@dataclass(frozen=True)
class ConditionConfig:
    """A condition for training a transformer.

    kind: ``class`` (index of the row's ``column`` in ``names``, an int; rows with any other value
        are not drawn); ``segmentation`` (one-hot (``count``, h, w)), ``depth`` ((1, h, w) in
        [-1, 1]) or ``edges`` ((3, h, w), 0 or 1), from a map in ``folder`` with the image's name
        and ``suffix``; ``lr`` (the image shrunk by ``scale`` and enlarged again, (3, h, w) in
        [-1, 1]); ``coordinates`` (position of a crop in the whole image, (1, h, w) in [0, 1]).
    folder: folder that contains the maps. If it is empty, edges are detected in the images, and the
        source images themselves serve as the maps for segmentation and depth.
    names: names of the classes; if empty, all classes found, in alphabetical order.
    key: name of the condition in a sample. Default: the kind.
    """

    kind: str
    key: str = ""
    column: str = "category"
    names: tuple[str, ...] = ()
    folder: str = ""
    suffix: str = ".png"
    count: int = 0
    scale: int = 4

    def __post_init__(self) -> None:
        if self.kind not in DATA_CONDITIONS:
            raise unknown("condition", self.kind, DATA_CONDITIONS)
        if self.kind == "segmentation" and self.count < 1:
            raise UsageError("a segmentation condition needs count, the number of its labels")
        if self.scale < 1:
            raise UsageError(f"a condition's scale must be at least 1, not {self.scale}")

    @property
    def name(self) -> str:
        """Return the name of the condition in a sample."""
        return self.key or self.kind


@dataclass(frozen=True)
class CompositionConfig:
    """Composition of cut-outs (images with transparency) on backgrounds.

    The fractions of the backgrounds must add up to at most 1. The remaining images have a plain
    background, which is white or a light colour.

    colour, gradient, texture, scene: fractions of images whose background is a strong colour, a
        gradient of two colours, a texture image, and a photo or landscape, respectively.
    textures, scenes: which images without transparency serve as textures and as scenes.
    white: fraction of plain backgrounds that are white.
    moved: fraction of cut-outs that are scaled, rotated and shifted; in a scene, every cut-out is.
    mirrored: fraction of cut-outs that are mirrored. Symbols, flags and cut-outs whose names
        mention a side or writing are never mirrored.
    scale: minimum length of a moved cut-out's longer side, relative to the image's side.
    angle: maximum rotation of a moved cut-out, in degrees.
    shadow: fraction of moved cut-outs that cast a shadow.
    recolour: fraction of cut-outs whose hue is rotated.
    pair: fraction of images with a second object beside the first.
    """

    colour: float = 0.1
    gradient: float = 0.07
    texture: float = 0.06
    scene: float = 0.1
    textures: Where = field(default_factory=lambda: {"kind": "texture"})
    scenes: Where = field(default_factory=lambda: {"source": ["synth-landscape", "polyhaven-hdri"]})
    white: float = 0.6
    moved: float = 0.35
    mirrored: float = 0.5
    scale: float = 0.4
    angle: float = 15.0
    shadow: float = 0.3
    recolour: float = 0.1
    pair: float = 0.05

    def __post_init__(self) -> None:
        for name in _SHARES:
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"composition.{name} must be from 0 to 1")
        if self.colour + self.gradient + self.texture + self.scene > 1:
            raise UsageError(
                "the shares of backgrounds in composition must not add up to more than 1"
            )
        if not 0 < self.scale <= 1:
            raise UsageError("composition.scale must be above 0 and at most 1")


@dataclass(frozen=True)
class CaptionConfig:
    """Caption settings: the fraction of samples to which each change applies.

    alternatives: use another of the row's short captions instead of the first.
    article: put "a" or "an" before the name.
    colour: add the measured colour.
    style: add the style, as in "emoji" or "an icon of …".
    tags: append one or two of the row's tags.
    background: factor for the probability of mentioning the background.
    """

    alternatives: float = 0.25
    article: float = 0.6
    colour: float = 0.25
    style: float = 0.2
    tags: float = 0.1
    background: float = 1.0

    def __post_init__(self) -> None:
        for entry in fields(self):
            if not 0 <= getattr(self, entry.name) <= 1:
                raise UsageError(f"captions.{entry.name} must be from 0 to 1")


@dataclass(frozen=True)
class DataConfig:
    """Settings that determine the image and caption of each sample.

    sources: sources of the images.
    folder: base folder for relative paths in sources and conditions; if empty, the current folder.
    weights: rules that make some images more frequent than others.
    hold_out: the data held out from training.
    size: side of the images in pixels.
    crop: side of a random crop in pixels; None for the whole image.
    zoom: maximum random factor by which images without transparency are enlarged before they are
        cropped.
    flip: fraction of samples that are mirrored (including any writing in them).
    cache: whether to keep decoded images in memory, size² · 4 bytes each.
    composition: how cut-outs are put on backgrounds; None for a plain colour (the row's ``bg``, or
        white).
    captions: how names become captions. None uses one of the image's captions unchanged or, with a
        composition, the default settings.
    conditions: conditions to add to each sample.
    styles: names of styles, each with the ``where`` that selects its images; each row gets the
        first style that matches it.

    Raises:
        UsageError: a value is out of range.
    """

    sources: tuple[SourceConfig, ...]
    folder: str = ""
    weights: tuple[WeightRule, ...] = ()
    hold_out: HoldOutConfig = HoldOutConfig()
    size: int = 128
    crop: int | None = None
    zoom: float = 1.0
    flip: float = 0.0
    cache: bool = False
    composition: CompositionConfig | None = None
    captions: CaptionConfig | None = None
    conditions: tuple[ConditionConfig, ...] = ()
    styles: Mapping[str, Where] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.sources:
            raise UsageError("data.sources is empty: add a folder of images or a .jsonl")
        if not 8 <= self.size <= MAX_SIDE:
            raise UsageError(f"data.size must be from 8 to {MAX_SIDE} pixels, not {self.size}")
        if self.crop is not None and not 8 <= self.crop <= self.size:
            raise UsageError(f"data.crop must be from 8 to data.size {self.size}, not {self.crop}")
        if not 1 <= self.zoom <= 8 or not 0 <= self.flip <= 1:
            raise UsageError("data.zoom must be from 1 to 8, data.flip from 0 to 1")
        side = self.crop or self.size
        for given in self.conditions:
            if given.kind == "lr" and given.scale > side:
                raise UsageError(
                    f"the scale {given.scale} of the condition lr is too large for images of "
                    f"{side} pixels: use at most {side}"
                )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "DataConfig":
        """Return the settings described by a mapping, such as parsed YAML.

        Raises:
            UsageError: a key is unknown (the message suggests the nearest) or a value is invalid.
        """
        return parse_section(cls, values, "data").placed()

    def placed(self) -> "DataConfig":
        """Return a copy in which ``folder`` is prepended to every relative path."""
        if not self.folder:
            return self
        sources = (replace(s, path=_below(self.folder, s.path)) for s in self.sources)
        conditions = (
            replace(c, folder=_below(self.folder, c.folder)) if c.folder else c
            for c in self.conditions
        )
        return replace(self, folder="", sources=tuple(sources), conditions=tuple(conditions))


def _below(folder: str, path: str) -> str:
    return path if path.startswith("~") else str(Path(folder, path))
