"""Colour words and the colours they stand for."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
RGB = tuple[int, int, int]

COLOURS: dict[str, RGB] = {
    "red": (220, 40, 40), "orange": (245, 140, 30), "yellow": (250, 215, 50),
    "green": (50, 160, 70), "blue": (45, 100, 215), "purple": (130, 60, 180),
    "pink": (245, 130, 180), "brown": (130, 80, 45), "black": (20, 20, 20),
    "white": (255, 255, 255), "gray": (130, 130, 130), "cyan": (60, 200, 215),
    "teal": (20, 125, 125), "gold": (212, 165, 40), "navy": (20, 30, 90),
    "beige": (235, 220, 190),
}  # fmt: skip
GREYS = ("white", "gray", "black")
COLOUR_WORDS = frozenset(
    {*COLOURS, "grey", "violet", "golden", "silver", "colorful", "blond", "rainbow"}
)

_SIDE = 32  # colours are measured on an image of this size
_VISIBLE = 127  # alpha above which a pixel counts
_LEAST = 0.12  # minimum share of pixels for a colour to be named


def measured(rgba: Pixels) -> tuple[str, ...]:
    """Return the colour words for an image's visible pixels, most frequent first.

    There are at most four words. Colours that cover less than about an eighth of the visible pixels
    are left out.

    rgba: (h, w, 4) uint8.
    """
    small = np.asarray(Image.fromarray(rgba).resize((_SIDE, _SIDE), Image.Resampling.BOX))
    visible = small[small[..., 3] > _VISIBLE][:, :3]
    if len(visible) < 8:
        return ()
    words = _words(visible.astype(np.float32) / 255)
    names, counts = np.unique(words, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:4]
    return tuple(str(names[i]) for i in order if counts[i] > _LEAST * len(words))


def _words(rgb: "np.ndarray[Any, np.dtype[Any]]") -> "np.ndarray[Any, np.dtype[np.str_]]":
    """Return the name of each RGB colour, (n, 3) in [0, 1]; later rules override earlier ones."""
    value, least = rgb.max(1), rgb.min(1)
    chroma = value - least
    saturation = chroma / np.maximum(value, 1e-6)
    hue = _hue(rgb, value, chroma)
    vivid = (saturation > 0.22) & (value > 0.16)
    red = (hue < 14) | (hue >= 345)
    warm = (hue >= 14) & (hue < 50)
    rules: Sequence[tuple[Any, str]] = (
        (~vivid & (value > 0.82), "white"),
        ((value <= 0.18) | (~vivid & (value <= 0.25)), "black"),
        (vivid & red, "red"),
        (vivid & (hue >= 14) & (hue < 40), "orange"),
        (vivid & (hue >= 40) & (hue < 68), "yellow"),
        (vivid & (hue >= 68) & (hue < 165), "green"),
        (vivid & (hue >= 165) & (hue < 195), "cyan"),
        (vivid & (hue >= 195) & (hue < 258), "blue"),
        (vivid & (hue >= 258) & (hue < 300), "purple"),
        (vivid & (hue >= 300) & (hue < 345), "pink"),
        (vivid & ((hue < 14) | (hue >= 335)) & (saturation < 0.5) & (value > 0.75), "pink"),
        (vivid & (hue >= 8) & (hue < 45) & (value < 0.68), "brown"),
        (warm & (saturation > 0.12) & (saturation < 0.45) & (value > 0.8), "beige"),
    )
    words = np.full(len(rgb), "gray", "<U8")
    for where, word in rules:
        words[where] = word
    return words


def _hue(rgb: Any, value: Any, chroma: Any) -> Any:
    """Return the hue of each colour in degrees, in [0, 360)."""
    red, green, blue = rgb.T
    span = np.maximum(chroma, 1e-6)
    sextant = np.select(
        [value == red, value == green],
        [((green - blue) / span) % 6, (blue - red) / span + 2],
        (red - green) / span + 4,
    )
    return sextant * 60


def hue_turned(rgba: Pixels, turn: int) -> Pixels:
    """Return an (h, w, 4) uint8 image with its hues rotated by ``turn``/256 of a circle."""
    hsv = np.array(Image.fromarray(rgba[..., :3]).convert("HSV"))
    hsv[..., 0] += np.uint8(turn % 256)  # wraps around, as hues do
    turned = np.asarray(Image.fromarray(hsv, "HSV").convert("RGB"))
    return np.concatenate((turned, rgba[..., 3:]), axis=2)


def stands_out(rgba: Pixels, colour: RGB) -> bool:
    """Return whether most of a cut-out's visible pixels differ clearly from a background colour."""
    coarse = rgba[::8, ::8]
    visible = coarse[coarse[..., 3] > _VISIBLE][:, :3].astype(np.int16)
    distance = np.abs(visible - np.array(colour, np.int16)).sum(1)
    return bool((distance > 90).mean() > 0.6) if len(visible) else True
