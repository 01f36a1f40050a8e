"""Composition of one or two cut-outs, with shadows, on varied backgrounds."""

import re
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from PIL import Image, ImageFilter

from vqclip.generation.subjects import articled
from vqclip.media.colour_words import GREYS, Pixels, hue_turned, measured, stands_out
from vqclip.training.data import backgrounds
from vqclip.training.data.captions import Scene, Subject, has_colour, tidy, with_article
from vqclip.training.data.settings import CompositionConfig
from vqclip.training.data.sources import DataEntry, matches

_SIDED = re.compile(
    r"\b(left|right|clock|o.?clock|thirty|letter|number|digit|keycap|button|sign|text|abc|arrow|"
    r"calendar|flag|symbol|mark|note|word|latin|input|logo|dollar|euro|yen|question|time|index|code|"
    r"beaufort)",
    re.IGNORECASE,
)
_WRITTEN = ("symbols", "flags")


class Library(Protocol):
    """Images by index; see :class:`vqclip.training.data.dataset.Pictures`."""

    entries: Any

    def __getitem__(self, index: int) -> tuple[int, Pixels]: ...


class Composer:
    """Composes new images from a library's cut-outs, textures and scenes.

    ``composer(entry, rgba, rng)`` returns the image, (s, s, 3) uint8, and its content as a Scene.
    ``weights`` sets how often each entry is placed beside another. Default: all equally often.
    """

    def __init__(
        self,
        settings: CompositionConfig,
        library: Library,
        weights: Sequence[float] | None = None,
    ) -> None:
        self.settings, self.library = settings, library
        entries = list(enumerate(library.entries))
        opaque = [(i, e) for i, e in entries if not e.columns.get("alpha")]
        self._textures = [i for i, e in opaque if matches(e.columns, settings.textures)]
        self._scenes = [i for i, e in opaque if matches(e.columns, settings.scenes)]
        self._things = [i for i, e in entries if e.columns.get("alpha") and _is_thing(e)]
        shares = np.array([1.0 if weights is None else weights[i] for i in self._things])
        self._edges = np.cumsum(shares / shares.sum()) if shares.sum() else shares[:0]

    def __call__(
        self, entry: DataEntry, rgba: Pixels, rng: np.random.Generator
    ) -> tuple[Pixels, Scene]:
        """Return an image composed around a cut-out, and the image's content."""
        size = len(rgba)
        rgba, subject = self._subject(entry, rgba, rng)
        background = self._background(rgba, size, rng)
        canvas = background.image.copy()
        subjects: tuple[Subject, ...] = (subject,)
        partner = self._partner(entry, canvas, rng)
        if partner is None:
            self._put(canvas, rgba, entry, background.stands, rng)
        else:
            both = [(rgba, subject), partner]
            subjects = self._put_pair(canvas, both, background.stands, rng)
        return np.array(canvas), Scene(subjects, background.words, background.telling)

    def _subject(
        self, entry: DataEntry, rgba: Pixels, rng: np.random.Generator
    ) -> tuple[Pixels, Subject]:
        """Return the cut-out, possibly recoloured, and a Subject with its colours."""
        colours = tuple(entry.columns.get("colors") or ()) or measured(rgba)
        if rng.random() < self.settings.recolour and _may_be_recoloured(entry, colours):
            turned = hue_turned(rgba, int(rng.integers(40, 217)))
            found = measured(turned)
            if found and found[0] not in GREYS and found[0] != colours[0]:
                return turned, Subject(entry, found, recoloured=True)
        return rgba, Subject(entry, colours)

    def _background(
        self, rgba: Pixels, size: int, rng: np.random.Generator
    ) -> backgrounds.Background:
        share, chosen = self.settings, rng.random()
        kinds: tuple[tuple[float, Callable[[], backgrounds.Background | None]], ...] = (
            (share.colour, lambda: backgrounds.solid(rgba, size, rng)),
            (share.gradient, lambda: backgrounds.gradient(rgba, size, rng)),
            (share.texture, lambda: self._texture(rgba, rng)),
            (share.scene, lambda: self._scene(rgba, rng)),
        )
        for limit, make in kinds:
            chosen -= limit
            if chosen < 0:
                return make() or backgrounds.plain(rgba, share.white, size, rng)
        return backgrounds.plain(rgba, share.white, size, rng)

    def _texture(self, rgba: Pixels, rng: np.random.Generator) -> backgrounds.Background | None:
        if not self._textures:
            return None
        entry, image = self._picture(self._textures, rng)
        if not stands_out(rgba, backgrounds.middle(image)):
            return None
        name = tidy(entry.texts[0]).removesuffix(" texture") if entry.texts else "texture"
        return backgrounds.Background(image, f"on {articled(f'{name} background')}", 0.6)

    def _scene(self, rgba: Pixels, rng: np.random.Generator) -> backgrounds.Background | None:
        if not self._scenes:
            return None
        entry, image = self._picture(self._scenes, rng)
        if not stands_out(rgba, backgrounds.middle(image)):
            return None
        name = tidy(entry.texts[0]) if entry.texts else "landscape"
        return backgrounds.Background(image, f"in front of {with_article(name)}", 0.75, stands=True)

    def _picture(self, among: list[int], rng: np.random.Generator) -> tuple[DataEntry, Image.Image]:
        number, rgba = self.library[among[rng.integers(len(among))]]
        image = Image.fromarray(np.ascontiguousarray(rgba[..., :3]))
        return self.library.entries[number], image

    def _put(
        self,
        canvas: Image.Image,
        rgba: Pixels,
        entry: DataEntry,
        stands: bool,
        rng: np.random.Generator,
    ) -> None:
        """Place a cut-out on the canvas, either as it is or scaled, rotated and moved."""
        chance, cutout = rng.random(3), Image.fromarray(rgba)
        if chance[0] < self.settings.mirrored and _may_be_mirrored(entry):
            cutout = cutout.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if chance[1] >= self.settings.moved and not stands:
            canvas.paste(cutout, (0, 0), cutout)
            return
        scale = rng.uniform(self.settings.scale, 0.85 if stands else 1.0)
        part = self._turned(_trimmed(cutout, scale), rng)
        x = int(rng.integers(0, max(1, canvas.width - part.width + 1)))
        low = canvas.height - part.height
        y = int(rng.integers(max(0, low * 2 // 3 if stands else 0), max(1, low + 1)))
        if chance[2] < self.settings.shadow:
            _cast_shadow(canvas, part, (x, y))
        canvas.paste(part, (x, y), part)

    def _turned(self, cutout: Image.Image, rng: np.random.Generator) -> Image.Image:
        angle = rng.uniform(-1, 1) * self.settings.angle
        if rng.random() < 0.5 or abs(angle) < 1:
            return cutout
        return cutout.rotate(angle, Image.Resampling.BICUBIC, expand=True)

    def _partner(
        self, entry: DataEntry, canvas: Image.Image, rng: np.random.Generator
    ) -> tuple[Pixels, Subject] | None:
        """Return a randomly chosen second cut-out that stands out from the canvas, or None."""
        if rng.random() >= self.settings.pair or not len(self._edges) or not _is_thing(entry):
            return None
        place = min(int(np.searchsorted(self._edges, rng.random())), len(self._things) - 1)
        number, rgba = self.library[self._things[place]]
        if not stands_out(rgba, backgrounds.middle(canvas)):
            return None
        other = self.library.entries[number]
        return rgba, Subject(other, tuple(other.columns.get("colors") or ()))

    def _put_pair(
        self,
        canvas: Image.Image,
        both: list[tuple[Pixels, Subject]],
        stands: bool,
        rng: np.random.Generator,
    ) -> tuple[Subject, Subject]:
        """Place two cut-outs side by side; return their subjects from left to right."""
        if rng.random() < 0.5:
            both.reverse()
        half = canvas.width // 2
        ground = int(canvas.height * rng.uniform(0.78, 0.95 if stands else 0.85))
        for side, (pixels, _) in enumerate(both):
            part = _trimmed(Image.fromarray(pixels), rng.uniform(0.46, 0.54))
            x = side * half + (half - part.width) // 2
            canvas.paste(part, (max(0, x), max(0, ground - part.height)), part)
        return both[0][1], both[1][1]


def _is_thing(entry: DataEntry) -> bool:
    """Return whether an entry has a short name and shows an object rather than a sign or flag."""
    columns = entry.columns
    return (
        bool(entry.texts)
        and len(entry.texts[0].split()) <= 4
        and columns.get("category") not in _WRITTEN
        and not _SIDED.search(entry.texts[0])
    )


def _may_be_mirrored(entry: DataEntry) -> bool:
    if entry.columns.get("category") in _WRITTEN:
        return False
    return not any(_SIDED.search(text) for text in entry.texts)


def _may_be_recoloured(entry: DataEntry, colours: tuple[str, ...]) -> bool:
    """Return whether an entry shows no people and none of its texts names a colour."""
    words = (*entry.texts, *(entry.columns.get("tags") or ()))
    people = entry.columns.get("category") in ("people & body", "flags")
    return (
        bool(colours)
        and colours[0] not in GREYS
        and not people
        and not any(has_colour(str(w)) for w in words)
    )


def _trimmed(cutout: Image.Image, scale: float) -> Image.Image:
    """Crop the empty border and scale the longer side to ``scale`` times the image's side."""
    box = cutout.getchannel("A").point(_opaque).getbbox()
    part = cutout.crop(box) if box else cutout
    factor = scale * max(cutout.size) / max(part.size)
    size = [max(1, round(side * factor)) for side in part.size]
    return part.resize((size[0], size[1]), Image.Resampling.BICUBIC)


_opaque = [0] * 9 + [255] * 247  # nearly transparent pixels count as empty


def _cast_shadow(canvas: Image.Image, part: Image.Image, place: tuple[int, int]) -> None:
    """Draw a soft shadow on the canvas, below and to the right of a cut-out."""
    offset, blur = max(2, canvas.width // 32), max(2, canvas.width // 40)
    mask = Image.new("L", canvas.size)
    mask.paste(part.getchannel("A").point(_half), (place[0] + offset, place[1] + offset))
    canvas.paste((0, 0, 0), (0, 0), mask.filter(ImageFilter.BoxBlur(blur)))


_half = [level * 2 // 5 for level in range(256)]
