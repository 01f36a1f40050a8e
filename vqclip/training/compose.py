"""Cut-outs on backgrounds: solid colours, gradients, textures, scenes; shadows; two at a time."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from PIL import Image, ImageFilter

from vqclip.training.captions import Scene, Subject, has_colour, tidy, with_article
from vqclip.training.colours import COLOURS, GREYS, Colour, hue_turned, measured, stands_out
from vqclip.training.datasettings import CompositionConfig
from vqclip.training.sources import Entry, Pixels, matches

Generator = np.random.Generator

_SIDED = re.compile(
    r"\b(left|right|clock|o.?clock|thirty|letter|number|digit|keycap|button|sign|text|abc|arrow|"
    r"calendar|flag|symbol|mark|note|word|latin|input|logo|dollar|euro|yen|question|time|index|code|"
    r"beaufort)",
    re.IGNORECASE,
)
_WRITTEN = ("symbols", "flags")
_LIGHT = ("beige", "cyan", "pink", "yellow", "gray", "blue", "green")
_ALL = tuple(COLOURS)


class Library(Protocol):
    """Pictures by number; see :class:`vqclip.training.data.Pictures`."""

    entries: Any

    def __getitem__(self, index: int) -> tuple[int, Pixels]: ...


@dataclass(frozen=True)
class Background:
    """What is behind: an RGB picture, how one says it, and how likely one does."""

    image: Image.Image
    words: str
    telling: float
    stands: bool = False  # things stand on its ground


class Composer:
    """Makes new pictures of a library's cut-outs, textures and scenes.

    ``composer(entry, rgba, rng)`` returns the picture, (s, s, 3) uint8, and what it shows.
    ``weights`` tell how often each entry stands beside another; by default all as often.
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

    def __call__(self, entry: Entry, rgba: Pixels, rng: Generator) -> tuple[Pixels, Scene]:
        """Compose one picture around a cut-out."""
        size = len(rgba)
        rgba, subject = self._subject(entry, rgba, rng)
        background = self._background(rgba, size, rng)
        canvas = background.image.copy()
        if len(self._edges) and _is_thing(entry) and rng.random() < self.settings.pair:
            subjects = self._put_pair(canvas, rgba, subject, background.stands, rng)
        else:
            self._put(canvas, rgba, entry, background.stands, rng)
            subjects = (subject,)
        return np.array(canvas), Scene(subjects, background.words, background.telling)

    def _subject(self, entry: Entry, rgba: Pixels, rng: Generator) -> tuple[Pixels, Subject]:
        """The cut-out, perhaps in other colours, which are measured then."""
        colours = tuple(entry.columns.get("colors") or ()) or measured(rgba)
        if rng.random() < self.settings.recolour and _may_be_recoloured(entry, colours):
            turned = hue_turned(rgba, int(rng.integers(40, 217)))
            found = measured(turned)
            if found and found[0] not in GREYS and found[0] != colours[0]:
                return turned, Subject(entry, found, recoloured=True)
        return rgba, Subject(entry, colours)

    def _background(self, rgba: Pixels, size: int, rng: Generator) -> Background:
        share, chosen = self.settings, rng.random()
        kinds: tuple[tuple[float, Callable[[], Background | None]], ...] = (
            (share.colour, lambda: _solid(rgba, _ALL, size, rng)),
            (share.gradient, lambda: _gradient(rgba, size, rng)),
            (share.texture, lambda: self._texture(rgba, rng)),
            (share.scene, lambda: self._scene(rgba, rng)),
        )
        for limit, make in kinds:
            chosen -= limit
            if chosen < 0:
                return make() or _plain(rgba, share.white, size, rng)
        return _plain(rgba, share.white, size, rng)

    def _texture(self, rgba: Pixels, rng: Generator) -> Background | None:
        if not self._textures:
            return None
        entry, image = self._picture(self._textures, rng)
        if not stands_out(rgba, _middle(image)):
            return None
        name = tidy(entry.texts[0]).removesuffix(" texture") if entry.texts else "texture"
        return Background(image, f"on {with_article(f'{name} background', always=True)}", 0.6)

    def _scene(self, rgba: Pixels, rng: Generator) -> Background | None:
        if not self._scenes:
            return None
        entry, image = self._picture(self._scenes, rng)
        if not stands_out(rgba, _middle(image)):
            return None
        name = tidy(entry.texts[0]) if entry.texts else "landscape"
        return Background(image, f"in front of {with_article(name)}", 0.75, stands=True)

    def _picture(self, among: list[int], rng: Generator) -> tuple[Entry, Image.Image]:
        number, rgba = self.library[among[rng.integers(len(among))]]
        image = Image.fromarray(np.ascontiguousarray(rgba[..., :3]))
        return self.library.entries[number], image

    def _put(
        self, canvas: Image.Image, rgba: Pixels, entry: Entry, stands: bool, rng: Generator
    ) -> None:
        """Put one cut-out down: as it is in the middle, or moved."""
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

    def _turned(self, cutout: Image.Image, rng: Generator) -> Image.Image:
        angle = rng.uniform(-1, 1) * self.settings.angle
        if rng.random() < 0.5 or abs(angle) < 1:
            return cutout
        return cutout.rotate(angle, Image.Resampling.BICUBIC, expand=True)

    def _put_pair(
        self, canvas: Image.Image, rgba: Pixels, subject: Subject, stands: bool, rng: Generator
    ) -> tuple[Subject, Subject]:
        """Put the cut-out and another one side by side; return both from left to right."""
        place = min(int(np.searchsorted(self._edges, rng.random())), len(self._things) - 1)
        number, other = self.library[self._things[place]]
        entry = self.library.entries[number]
        both = [(rgba, subject), (other, Subject(entry, tuple(entry.columns.get("colors") or ())))]
        if rng.random() < 0.5:
            both.reverse()
        half = canvas.width // 2
        ground = int(canvas.height * rng.uniform(0.78, 0.95 if stands else 0.85))
        for side, (pixels, _) in enumerate(both):
            part = _trimmed(Image.fromarray(pixels), rng.uniform(0.46, 0.54))
            x = side * half + (half - part.width) // 2
            canvas.paste(part, (max(0, x), max(0, ground - part.height)), part)
        return both[0][1], both[1][1]


def _middle(image: Image.Image) -> Colour:
    """The mean colour of the lower middle, where most things stand."""
    width, height = image.size
    box = (width // 4, height // 2, width - width // 4, height)
    red, green, blue = image.resize((1, 1), Image.Resampling.BOX, box).getpixel((0, 0))  # type: ignore[misc]
    return red, green, blue


def _is_thing(entry: Entry) -> bool:
    """Whether two of its kind may stand side by side: a short name, no sign or flag."""
    columns = entry.columns
    return (
        bool(entry.texts)
        and len(entry.texts[0].split()) <= 4
        and columns.get("category") not in _WRITTEN
        and not _SIDED.search(entry.texts[0])
    )


def _may_be_mirrored(entry: Entry) -> bool:
    if entry.columns.get("category") in _WRITTEN:
        return False
    return not any(_SIDED.search(text) for text in entry.texts)


def _may_be_recoloured(entry: Entry, colours: tuple[str, ...]) -> bool:
    """Only what has a colour, whose words tell of none, and no people."""
    words = (*entry.texts, *(entry.columns.get("tags") or ()))
    people = entry.columns.get("category") in ("people & body", "flags")
    return (
        bool(colours)
        and colours[0] not in GREYS
        and not people
        and not any(has_colour(str(w)) for w in words)
    )


def _trimmed(cutout: Image.Image, scale: float) -> Image.Image:
    """Cut off what is empty, and make the longer side ``scale`` times that of the picture."""
    box = cutout.getchannel("A").point(_opaque).getbbox()
    part = cutout.crop(box) if box else cutout
    factor = scale * max(cutout.size) / max(part.size)
    size = [max(1, round(side * factor)) for side in part.size]
    return part.resize((size[0], size[1]), Image.Resampling.BICUBIC)


_opaque = [0] * 9 + [255] * 247  # what is nearly transparent counts as empty


def _cast_shadow(canvas: Image.Image, part: Image.Image, place: tuple[int, int]) -> None:
    """Darken the canvas softly, down and to the right of where a cut-out will be."""
    offset, blur = max(2, canvas.width // 32), max(2, canvas.width // 40)
    mask = Image.new("L", canvas.size)
    mask.paste(part.getchannel("A").point(_half), (place[0] + offset, place[1] + offset))
    canvas.paste((0, 0, 0), (0, 0), mask.filter(ImageFilter.BoxBlur(blur)))


_half = [level * 2 // 5 for level in range(256)]


def _shade(name: str, rng: Generator) -> Colour:
    """A colour near the one of that name."""
    if name == "white":
        return COLOURS[name]
    red, green, blue = (int(c) for c in COLOURS[name] + rng.integers(-14, 15, 3))
    return tuple(max(0, min(255, c)) for c in (red, green, blue))  # type: ignore[return-value]


def _contrasting(rgba: Pixels, names: tuple[str, ...], rng: Generator) -> tuple[str, Colour]:
    """A colour of those names in front of which a cut-out is seen, or the last one tried."""
    colour, name = COLOURS["white"], "white"
    for number in rng.permutation(len(names))[:6]:
        name = names[number]
        colour = _shade(name, rng)
        if stands_out(rgba, colour):
            break
    return name, colour


def _solid(rgba: Pixels, names: tuple[str, ...], size: int, rng: Generator) -> Background:
    name, colour = _contrasting(rgba, names, rng)
    image = Image.new("RGB", (size, size), colour)
    return Background(image, f"on {with_article(name, always=True)} background", 0.6)


def _plain(rgba: Pixels, white: float, size: int, rng: Generator) -> Background:
    """White, or a light colour."""
    if rng.random() < white and stands_out(rgba, COLOURS["white"]):
        return Background(
            Image.new("RGB", (size, size), COLOURS["white"]), "on a white background", 0.2
        )
    name, colour = _contrasting(rgba, _LIGHT, rng)
    return Background(
        Image.new("RGB", (size, size), colour),
        f"on {with_article(name, always=True)} background",
        0.4,
    )


def _gradient(rgba: Pixels, size: int, rng: Generator) -> Background:
    """From one colour to another, in any direction, or from the middle outwards."""
    (first, a), (second, b) = (_contrasting(rgba, _ALL, rng) for _ in range(2))
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    if rng.random() < 0.3:
        share = np.sqrt(axis[:, None] ** 2 + axis**2) / 1.5
    else:
        angle = rng.uniform(0, 2 * np.pi)
        share = (np.sin(angle) * axis[:, None] + np.cos(angle) * axis) / 2.83 + 0.5
    near, far = np.array(a, np.float32), np.array(b, np.float32)
    pixels = near + np.clip(share, 0, 1)[..., None] * (far - near)
    name = first if first == second else f"{first} and {second}"
    words = f"on {with_article(name, always=True)} gradient background"
    return Background(Image.fromarray(pixels.astype(np.uint8)), words, 0.5)
