"""Backgrounds for cut-outs, each with words that describe it."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from vqclip.generation.subjects import articled
from vqclip.media.colour_words import COLOURS, RGB, Pixels, stands_out

LIGHT = ("beige", "cyan", "pink", "yellow", "gray", "blue", "green")


@dataclass(frozen=True)
class Background:
    """An RGB image, a phrase that describes it, and the probability that a caption includes it."""

    image: Image.Image
    words: str
    telling: float
    stands: bool = False  # whether the object in front should stand on the background's ground


def middle(image: Image.Image) -> RGB:
    """Return the mean colour of an image's lower middle, where most objects stand."""
    width, height = image.size
    box = (width // 4, height // 2, width - width // 4, height)
    red, green, blue = image.resize((1, 1), Image.Resampling.BOX, box).getpixel((0, 0))  # type: ignore[misc]
    return red, green, blue


def _shade(name: str, rng: np.random.Generator) -> RGB:
    """Return a random colour close to the one called ``name``."""
    if name == "white":
        return COLOURS[name]
    red, green, blue = (int(c) for c in COLOURS[name] + rng.integers(-14, 15, 3))
    return tuple(max(0, min(255, c)) for c in (red, green, blue))  # type: ignore[return-value]


def _contrasting(rgba: Pixels, names: tuple[str, ...], rng: np.random.Generator) -> tuple[str, RGB]:
    """Return a colour from ``names`` that contrasts with a cut-out, or else the last one tried."""
    colour, name = COLOURS["white"], "white"
    for number in rng.permutation(len(names))[:6]:
        name = names[number]
        colour = _shade(name, rng)
        if stands_out(rgba, colour):
            break
    return name, colour


def solid(rgba: Pixels, size: int, rng: np.random.Generator) -> Background:
    """Return a background in a strong colour that contrasts with the cut-out ``rgba``."""
    return _coloured(rgba, tuple(COLOURS), size, 0.6, rng)


def plain(rgba: Pixels, white: float, size: int, rng: np.random.Generator) -> Background:
    """Return a light background for a cut-out; ``white`` is the probability of pure white."""
    if rng.random() < white and stands_out(rgba, COLOURS["white"]):
        image = Image.new("RGB", (size, size), COLOURS["white"])
        return Background(image, "on a white background", 0.2)
    return _coloured(rgba, LIGHT, size, 0.4, rng)


def _coloured(
    rgba: Pixels, names: tuple[str, ...], size: int, telling: float, rng: np.random.Generator
) -> Background:
    name, colour = _contrasting(rgba, names, rng)
    image = Image.new("RGB", (size, size), colour)
    return Background(image, f"on {articled(name)} background", telling)


def gradient(rgba: Pixels, size: int, rng: np.random.Generator) -> Background:
    """Return a gradient of two colours, in a random direction or outwards from the middle."""
    (first, a), (second, b) = (_contrasting(rgba, tuple(COLOURS), rng) for _ in range(2))
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    if rng.random() < 0.3:
        share = np.sqrt(axis[:, None] ** 2 + axis**2) / 1.5
    else:
        angle = rng.uniform(0, 2 * np.pi)
        share = (np.sin(angle) * axis[:, None] + np.cos(angle) * axis) / 2.83 + 0.5
    near, far = np.array(a, np.float32), np.array(b, np.float32)
    pixels = near + np.clip(share, 0, 1)[..., None] * (far - near)
    name = first if first == second else f"{first} and {second}"
    words = f"on {articled(name)} gradient background"
    return Background(Image.fromarray(pixels.astype(np.uint8)), words, 0.5)
