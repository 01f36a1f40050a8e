"""Draw a labelled data set of shapes, with classes, captions, label maps, depth and edges.

    python examples/shapes.py shapes            # 64 images of 32 x 32 pixels
    python examples/shapes.py shapes --count 256 --size 64

The folder then contains files such as:

    pictures/circle/003.png   one or two red circles on a light background; the folder is the class
    pictures/circle/003.txt   the caption
    labels/circle/003.png     0 for the background, 1 to 4 for the shape
    depth/circle/003.png      16 bits, larger is nearer: a floor, and a distance for each kind
    edges/circle/003.png      the outline, white on black
    small/circle/003.png      the image, 4 times smaller

All shapes of the same kind have the same colour, so that a model can infer colours from outlines.
"""

import argparse
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

#: kind -> (colour, name of the colour); its label is its position, starting at 1.
KINDS = {
    "circle": ((214, 48, 49), "red"),
    "square": ((38, 148, 82), "green"),
    "triangle": ((44, 88, 200), "blue"),
    "cross": ((240, 180, 20), "yellow"),
}
GROUND = (236, 236, 240)
_FINE = 4  # factor of supersampling, for smooth outlines


@dataclass(frozen=True)
class Shape:
    """A shape in an image: its kind, and its centre and radius relative to the image's side."""

    kind: str
    x: float
    y: float
    radius: float

    @property
    def label(self) -> int:
        """Return the shape's number in label maps."""
        return list(KINDS).index(self.kind) + 1

    @property
    def caption(self) -> str:
        """Return a phrase that describes the shape."""
        size = "large" if self.radius > 0.23 else "small"
        row = "top" if self.y < 0.5 else "bottom"
        column = "left" if self.x < 0.5 else "right"
        return f"a {size} {KINDS[self.kind][1]} {self.kind} at the {row} {column}"

    def outline(self) -> Sequence[tuple[float, float]]:
        """Return the corners of the shape's polygon, relative to the image's side."""
        x, y, r = self.x, self.y, self.radius
        if self.kind == "circle":
            turns = (2 * math.pi * k / 48 for k in range(48))
            return [(x + r * math.cos(t), y + r * math.sin(t)) for t in turns]
        if self.kind == "square":
            s = 0.88 * r
            return [(x - s, y - s), (x + s, y - s), (x + s, y + s), (x - s, y + s)]
        if self.kind == "triangle":
            return [(x, y - r), (x + r, y + 0.8 * r), (x - r, y + 0.8 * r)]
        t = 0.36 * r  # half the width of the cross's arms
        corners = [(-t, -r), (t, -r), (t, -t), (r, -t), (r, t), (t, t)]
        corners += [(t, r), (-t, r), (-t, t), (-r, t), (-r, -t), (-t, -t)]
        return [(x + a, y + b) for a, b in corners]


def random_shapes(kind: str, count: int, rng: np.random.Generator) -> list[Shape]:
    """Return one or two separate shapes of a kind, entirely within the image."""
    low, high = (0.18, 0.28) if count == 1 else (0.14, 0.2)
    while True:
        radii = rng.uniform(low, high, count)
        places = [rng.uniform(radius + 0.03, 0.97 - radius, 2) for radius in radii]
        if count == 1 or math.dist(*places) > 1.5 * radii.sum():
            pairs = zip(places, radii, strict=True)
            return [Shape(kind, float(x), float(y), float(radius)) for (x, y), radius in pairs]


def caption(found: Sequence[Shape]) -> str:
    """Return a sentence that describes an image."""
    if len(found) == 1:
        return found[0].caption
    shape = found[0]
    plural = "crosses" if shape.kind == "cross" else f"{shape.kind}s"
    return f"two small {KINDS[shape.kind][1]} {plural}"


def draw(found: Sequence[Shape], size: int) -> dict[str, Image.Image]:
    """Return the image and its maps by folder name; ``size`` is in pixels."""
    fine, shape = size * _FINE, found[0]
    mask = Image.new("L", (fine, fine))
    for each in found:
        corners = [(x * fine, y * fine) for x, y in each.outline()]
        ImageDraw.Draw(mask).polygon(corners, fill=255)
    soft = mask.resize((size, size), Image.Resampling.BOX)
    picture = Image.new("RGB", (size, size), GROUND)
    picture.paste(KINDS[shape.kind][0], mask=soft)
    inside = np.asarray(soft) >= 128
    floor = np.broadcast_to(np.linspace(0, 1, size)[:, None] ** 3, (size, size))
    depth = np.where(inside, 1 - shape.label / 8, floor)
    return {
        "pictures": picture,
        "labels": Image.fromarray((inside * shape.label).astype(np.uint8)),
        "depth": Image.fromarray((depth * 65535).astype(np.uint16)),
        "edges": Image.fromarray((_border(inside) * 255).astype(np.uint8)),
        "small": picture.resize((size // 4, size // 4), Image.Resampling.BICUBIC),
    }


def _border(inside: np.ndarray) -> np.ndarray:
    """Return the inside pixels that touch an outside pixel, (h, w) bool."""
    padded = np.pad(inside, 1)
    around = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    border: np.ndarray = inside & ~np.logical_and.reduce(around)
    return border


def shapes(count: int, seed: int = 0) -> Iterator[tuple[str, list[Shape]]]:
    """Yield (name, shapes), cycling through the kinds; the seed determines the shapes."""
    rng = np.random.default_rng(seed)
    kinds = list(KINDS)
    for number in range(count):
        kind = kinds[number % len(kinds)]
        several = 1 + number // len(kinds) % 2
        yield f"{kind}/{number:03d}", random_shapes(kind, several, rng)


def write(folder: Path, count: int, size: int, seed: int = 0) -> None:
    """Write a data set to ``folder``."""
    for name, found in shapes(count, seed):
        for part, image in draw(found, size).items():
            path = folder / part / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            image.save(path)
        (folder / "pictures" / f"{name}.txt").write_text(caption(found) + "\n", encoding="utf-8")


def main() -> None:
    """Draw the data set described on the command line."""
    parser = argparse.ArgumentParser(description="Draw a labelled data set of shapes.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=64, help="number of images (default: 64)")
    parser.add_argument("--size", type=int, default=32, help="side in pixels (default: 32)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the shapes (default: 0)")
    options = parser.parse_args()
    write(options.folder, options.count, options.size, options.seed)


if __name__ == "__main__":
    main()
