"""Rendering of candidates: drawn, fitted to 128×128, measured, and encoded as WebP.

All steps give the same result on every machine: they use integers, or float64 rounded only once.
"""

import hashlib
import io
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from recipes.data.candidates import Candidate, choices, clean, unique

SIZE = 128
Array = np.ndarray[Any, Any]

# Names of colours, for backgrounds, icons and images rendered here.
PALETTE: Mapping[str, tuple[int, int, int]] = {
    "red": (220, 40, 40),
    "orange": (245, 140, 30),
    "yellow": (250, 215, 50),
    "green": (50, 160, 70),
    "blue": (45, 100, 215),
    "purple": (130, 60, 180),
    "pink": (245, 130, 180),
    "brown": (130, 80, 45),
    "black": (20, 20, 20),
    "white": (250, 250, 250),
    "gray": (130, 130, 130),
    "cyan": (60, 200, 215),
    "teal": (20, 125, 125),
    "gold": (212, 165, 40),
    "navy": (20, 30, 90),
    "beige": (235, 220, 190),
}
_ON_DARK = ("blue", "teal", "gray", "navy", "green")
_ON_LIGHT = ("white", "beige", "cyan", "pink", "yellow", "gray", "blue", "green")
_SMALLEST = 14  # pixels; narrower images show nothing
_ENLARGED = 3.2  # maximum factor; images that need more have no detail
_FILE_LIMIT, _PIXEL_LIMIT = 30_000_000, 40_000_000


class UnusableError(Exception):
    """An image does not belong in the data set; the message is the reason, which is counted."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A finished image.

    row: the image's columns in captions.jsonl.
    webp: the contents of the image's file.
    look: a hash that is equal for images that look the same.
    """

    row: dict[str, Any]
    webp: bytes
    look: str


def rasterise(svg: str, width: int = 2 * SIZE) -> Image.Image:
    """Return an SVG drawn ``width`` pixels wide, RGBA, without text because fonts vary.

    Raises:
        ValueError: resvg cannot draw the SVG.
    """
    import resvg_py

    png = resvg_py.svg_to_bytes(svg_string=svg, width=width, skip_system_fonts=True)
    return Image.open(io.BytesIO(bytes(png))).convert("RGBA")


def opened(path: Path) -> Image.Image:
    """Return the image in a file, RGBA if its mode allows transparency, else RGB.

    Raises:
        UnusableError: the image is far too large.
        OSError: the file is unreadable.
    """
    if path.stat().st_size > _FILE_LIMIT:
        raise UnusableError("file too large")
    with Image.open(path) as image:
        if image.width * image.height > _PIXEL_LIMIT:
            raise UnusableError("too many pixels")
        return image.convert("RGBA" if "A" in image.mode or image.mode == "P" else "RGB")


def drawn_svg(path: Path) -> Image.Image:
    """Return the rasterised image of an SVG file."""
    return rasterise(path.read_text(encoding="utf-8", errors="replace"))


def render(source: str, candidate: Candidate) -> Picture | str:
    """Return the finished image, or the reason why there is none."""
    try:
        image = candidate.draw()
        if not candidate.texts:
            raise UnusableError("no text")
        return _finished(source, candidate, image)
    except UnusableError as reason:
        return str(reason)
    except Exception as error:
        # A broken file can cause any error in a decoder, but must not affect other images.
        return f"unreadable ({type(error).__name__})"


def _finished(source: str, candidate: Candidate, image: Image.Image) -> Picture:
    cutout = "A" in image.mode and int(np.asarray(image.getchannel("A")).min()) < 250
    image = fitted(image, candidate.padding, candidate.pixelated) if cutout else _squared(image)
    mask = image.getchannel("A") if cutout else Image.new("L", (SIZE, SIZE), 255)
    background = (candidate.background or _background(source, candidate, image)) if cutout else None
    shown = _composed(image, background)
    if candidate.kind != "texture" and np.asarray(shown).reshape(-1, 3).std(0).max() < 5:
        raise UnusableError("of one colour")
    texts = unique(candidate.texts)
    row = {
        "text": list(texts),
        "tags": list(unique(candidate.tags)[:24]),
        "colors": colors(image.convert("RGB"), mask),
        "bg": background,
        "source": source,
        "license": candidate.license,
        "kind": candidate.kind,
        "alpha": cutout,
        **candidate.columns,
        **({"author": candidate.author} if candidate.author else {}),
        "group": clean(texts[0]).lower(),
    }
    return Picture(row, encoded(image, 92 if candidate.kind == "photo" else 88), look(image, mask))


def fitted(image: Image.Image, padding: int, pixelated: bool = False) -> Image.Image:
    """Return a trimmed, centred cut-out as 128×128 RGBA with a margin of ``padding``.

    Raises:
        UnusableError: the image is empty, or too small or narrow to show anything.
    """
    box = image.getchannel("A").point(lambda alpha: 255 if alpha > 8 else 0).getbbox()
    if not box:
        raise UnusableError("empty")
    image = image.crop(box)
    scale = (SIZE - 2 * padding) / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    if min(width, height) < _SMALLEST:
        raise UnusableError("too narrow")
    if scale > _ENLARGED:
        raise UnusableError("too small")
    fitted = Image.new("RGBA", (SIZE, SIZE), (0, 0, 0, 0))
    resized = _resized(image, (width, height), pixelated)
    fitted.paste(resized, ((SIZE - width) // 2, (SIZE - height) // 2))
    if np.asarray(fitted.getchannel("A")).mean() < 6:
        raise UnusableError("hardly visible")
    return fitted


def _resized(image: Image.Image, size: tuple[int, int], pixelated: bool) -> Image.Image:
    if size[0] < image.width:
        # Premultiplied, because the colour of transparent pixels would bleed into the edges.
        small = image.convert("RGBa").resize(size, Image.Resampling.LANCZOS, reducing_gap=3)
        return small.convert("RGBA")
    sharp = pixelated and size[0] > 2.2 * image.width
    return image.resize(size, Image.Resampling.NEAREST if sharp else Image.Resampling.BICUBIC)


def _squared(image: Image.Image) -> Image.Image:
    image = image.convert("RGB")
    if image.size == (SIZE, SIZE):
        return image
    return image.resize((SIZE, SIZE), Image.Resampling.LANCZOS, reducing_gap=3)


def _background(source: str, candidate: Candidate, image: Image.Image) -> str:
    """Choose a colour on which a cut-out is visible: mostly white, but not for white cut-outs."""
    pixels = np.asarray(image.convert("RGB"))[np.asarray(image.getchannel("A")) > 127]
    random = choices(source, candidate.key)
    if len(pixels) and pixels.mean() > 225:
        return random.choice(_ON_DARK)
    return "white" if random.random() < 0.6 else random.choice(_ON_LIGHT)


def _composed(image: Image.Image, background: str | None) -> Image.Image:
    if background is None:
        return image
    shown = Image.new("RGB", image.size, PALETTE[background])
    shown.paste(image, (0, 0), image)
    return shown


def encoded(image: Image.Image, quality: int) -> bytes:
    """Return an image as WebP."""
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=quality, method=4, alpha_quality=90)
    return buffer.getvalue()


def look(image: Image.Image, mask: Image.Image) -> str:
    """Return a coarse hash of shape, colours and lightness, equal for nearly equal images."""
    form = np.asarray(mask.resize((12, 12), Image.Resampling.BOX)) // 16
    color = np.asarray(image.convert("RGB").resize((4, 4), Image.Resampling.BOX)) // 24
    light = np.asarray(image.convert("L").resize((12, 12), Image.Resampling.BOX)) // 10
    return hashlib.sha256(form.tobytes() + color.tobytes() + light.tobytes()).hexdigest()[:32]


def colors(image: Image.Image, mask: Image.Image) -> list[str]:
    """Return the names of at most 4 colours that each cover more than 12% of the visible pixels."""
    pixels = np.asarray(image.resize((32, 32), Image.Resampling.BOX)) / 255
    visible = np.asarray(mask.resize((32, 32), Image.Resampling.BOX)) > 127
    if visible.sum() < 8:
        return []
    names = _color_names(pixels[visible])
    counts = Counter(names.tolist()).most_common(4)
    return [name for name, count in counts if count > 0.12 * len(names)]


def _color_names(pixels: Array) -> Array:
    """Name the colour of each pixel, (n, 3) in [0, 1], by hue, saturation and value."""
    value, low = pixels.max(1), pixels.min(1)
    spread = np.maximum(value - low, 1e-6)
    saturation = np.where(value > 0, (value - low) / np.maximum(value, 1e-6), 0)
    red, green, blue = pixels.T
    hue = 60 * np.where(
        value == red,
        (green - blue) / spread % 6,
        np.where(value == green, (blue - red) / spread + 2, (red - green) / spread + 4),
    )
    names = np.full(len(pixels), "gray", object)
    chromatic = (saturation > 0.22) & (value > 0.16)
    names[~chromatic & (value > 0.82)] = "white"
    names[(value <= 0.18) | (~chromatic & (value <= 0.25))] = "black"
    for name, start, end in _HUES:
        inside = (hue >= start) & (hue < end) if start < end else (hue >= start) | (hue < end)
        names[chromatic & inside] = name
    reddish = (hue < 14) | (hue >= 335)
    names[chromatic & reddish & (saturation < 0.5) & (value > 0.75)] = "pink"
    names[chromatic & (hue >= 8) & (hue < 45) & (value < 0.68)] = "brown"
    sandy = (hue >= 14) & (hue < 50) & (saturation < 0.45)
    names[chromatic & sandy & (value > 0.8)] = "beige"
    return names


_HUES = (
    ("red", 345, 14),
    ("orange", 14, 40),
    ("yellow", 40, 68),
    ("green", 68, 165),
    ("cyan", 165, 195),
    ("blue", 195, 258),
    ("purple", 258, 300),
    ("pink", 300, 345),
)
