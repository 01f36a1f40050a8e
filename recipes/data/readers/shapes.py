"""Generated coloured shapes and patterns, with exact captions."""

import math
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from recipes.data.candidates import Candidate
from recipes.data.pictures import PALETTE, SIZE
from recipes.data.quantize import to_image

Color = tuple[int, int, int]
Point = tuple[float, float]
_SIDE = 256  # pixels; images are drawn at twice their size
_RADII = {"small": 36, "": 66, "large": 96}


@dataclass(frozen=True, slots=True)
class Shape:
    """A shape to draw: its colours and their names, its position and size.

    variant: the image's number, for shapes with two orientations.
    extent: the scale of a pattern's repetition, in [0, 1].
    """

    kind: str
    color: str
    ground: str
    fill: Color
    ground_fill: Color
    size: str
    centre: Point
    variant: int
    extent: float

    @property
    def radius(self) -> int:
        """Half the size in pixels."""
        return _RADII[self.size]

    def ring(self, count: int, start: float = 0.0, inner: float = 1.0) -> list[Point]:
        """Return ``count`` points around the centre, with every other one at ``inner`` × radius."""
        points = []
        for place in range(count):
            reach = self.radius * (inner if place % 2 else 1)
            angle = 2 * math.pi * place / count + start
            points.append(self.at(reach * math.cos(angle), reach * math.sin(angle)))
        return points

    def at(self, right: float, down: float) -> Point:
        """Return a point beside the centre."""
        return self.centre[0] + right, self.centre[1] + down

    def box(self, right: float, down: float) -> tuple[float, float, float, float]:
        """Return a box around the centre with half-width ``right`` and half-height ``down``."""
        return (*self.at(-right, -down), *self.at(right, down))


def shape(number: int) -> Shape:
    """Return shape ``number``; this number determines all its properties."""
    chance = random.Random(number)
    ground = chance.choice(list(PALETTE))
    color = chance.choice([name for name in PALETTE if _distance(name, ground) > 150])
    size = chance.choice(["small", "", "", "large"])
    reach = _RADII[size] + 8
    centre = (chance.randint(reach, _SIDE - reach), chance.randint(reach, _SIDE - reach))
    fills = (_varied(ground, chance), _varied(color, chance))
    kind = chance.choice(list(_DRAWN))
    return Shape(
        kind, color, ground, fills[1], fills[0], size, centre, number, extent=chance.random()
    )


def _distance(one: str, other: str) -> int:
    return sum(abs(a - b) for a, b in zip(PALETTE[one], PALETTE[other], strict=True))


def _varied(name: str, chance: random.Random) -> Color:
    red, green, blue = (min(255, max(0, c + chance.randint(-12, 12))) for c in PALETTE[name])
    return red, green, blue


def _ellipse(s: Shape, pen: ImageDraw.ImageDraw) -> None:
    pen.ellipse(s.box(s.radius, s.radius), fill=s.fill)


def _square(s: Shape, pen: ImageDraw.ImageDraw) -> None:
    pen.rectangle(s.box(s.radius, s.radius), fill=s.fill)


def _polygon(s: Shape, pen: ImageDraw.ImageDraw, count: int, start: float = 0.0) -> None:
    pen.polygon(s.ring(count, start), fill=s.fill)


def _star(s: Shape, pen: ImageDraw.ImageDraw) -> None:
    pen.polygon(s.ring(10, -math.pi / 2, inner=0.42), fill=s.fill)


def _heart(s: Shape, pen: ImageDraw.ImageDraw) -> None:
    points = []
    for t in np.linspace(0, 2 * math.pi, 90).tolist():
        up = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
        points.append(s.at(s.radius * 16 * math.sin(t) ** 3 / 17, -s.radius * up / 17))
    pen.polygon(points, fill=s.fill)


def _ring(s: Shape, pen: ImageDraw.ImageDraw) -> None:
    pen.ellipse(s.box(s.radius, s.radius), outline=s.fill, width=s.radius // 3)


def _cross(s: Shape, pen: ImageDraw.ImageDraw) -> None:
    pen.rectangle(s.box(s.radius, s.radius // 3), fill=s.fill)
    pen.rectangle(s.box(s.radius // 3, s.radius), fill=s.fill)


def _cube(s: Shape, pen: ImageDraw.ImageDraw) -> None:
    def corner(x: float, y: float, z: float) -> Point:
        edge = s.radius * 0.62
        return s.at((x - y) * edge * 0.87, (x + y) * edge * 0.5 - z * edge)

    def face(light: float, *corners: tuple[int, int, int]) -> None:
        shade = tuple(int(min(255, channel * light)) for channel in s.fill)
        pen.polygon([corner(*c) for c in corners], fill=shade)

    face(1.15, (-1, -1, 1), (1, -1, 1), (1, 1, 1), (-1, 1, 1))
    face(0.85, (-1, 1, 1), (1, 1, 1), (1, 1, -1), (-1, 1, -1))
    face(0.6, (1, -1, 1), (1, 1, 1), (1, 1, -1), (1, -1, -1))


def _spiral(s: Shape, pen: ImageDraw.ImageDraw) -> None:
    turns = np.linspace(0, 21, 300).tolist()
    reaches = [4 + t * s.radius / 22 for t in turns]
    line = [s.at(r * math.cos(t), r * math.sin(t)) for r, t in zip(reaches, turns, strict=True)]
    pen.line(line, fill=s.fill, width=max(5, s.radius // 9))


def _stripes(s: Shape, pen: ImageDraw.ImageDraw) -> None:
    width = 10 + int(s.extent * 25)
    for at in range(0, _SIDE, width):
        band = (0, at, _SIDE, at + width // 2) if s.variant % 2 else (at, 0, at + width // 2, _SIDE)
        pen.rectangle(band, fill=s.fill)


def _dots(s: Shape, pen: ImageDraw.ImageDraw) -> None:
    width = 24 + int(s.extent * 29)
    for x in range(4, _SIDE, width):
        for y in range(4, _SIDE, width):
            pen.ellipse((x, y, x + width * 0.55, y + width * 0.55), fill=s.fill)


def _checkerboard(s: Shape, pen: ImageDraw.ImageDraw) -> None:
    width = (16, 32, 64)[int(s.extent * 3)]
    for x in range(0, _SIDE, width):
        for y in range(0, _SIDE, width):
            if (x + y) // width % 2:
                pen.rectangle((x, y, x + width - 1, y + width - 1), fill=s.fill)


def _gradient(s: Shape) -> Image.Image:
    """Return a gradient between two colours, downwards or to the right."""
    share = np.linspace(0, 1, _SIDE)[:, None, None]
    rows = np.multiply(PALETTE[s.ground], 1 - share) + np.multiply(PALETTE[s.color], share)
    whole: Any = np.broadcast_to(rows, (_SIDE, _SIDE, 3))
    return to_image((whole if s.variant % 2 else whole.transpose(1, 0, 2)) / 255)


def _sphere(s: Shape, image: Image.Image) -> Image.Image:
    """Return the image with a shaded ball, its highlight and its shadow on the ground."""
    y, x = np.mgrid[0:_SIDE, 0:_SIDE].astype(np.float64)
    right, down = (x - s.centre[0]) / s.radius, (y - s.centre[1]) / s.radius
    inside = right**2 + down**2 < 1
    front = np.sqrt(np.clip(1 - right**2 - down**2, 0, 1))
    light = np.clip(-0.45 * right - 0.6 * down + 0.66 * front, 0, 1)[..., None]
    shadow = np.exp(-((right / 1.05) ** 2 + ((down - 0.95) / 0.22) ** 2))[..., None]
    ground = np.asarray(image) * (1 - 0.45 * shadow)
    ball = np.asarray(s.fill) * (0.25 + 0.75 * light) + 200 * light**28
    return to_image(np.where(inside[..., None], ball, ground) / 255)


Draw = Callable[[Shape, ImageDraw.ImageDraw], None]
# Functions that draw shapes. Spheres and gradients are computed pixel by pixel instead.
_DRAWN: Mapping[str, Draw | None] = {
    "circle": _ellipse,
    "square": _square,
    "triangle": partial(_polygon, count=3, start=-math.pi / 2),
    "star": _star,
    "heart": _heart,
    "sphere": None,
    "cube": _cube,
    "ring": _ring,
    "diamond": partial(_polygon, count=4),
    "hexagon": partial(_polygon, count=6),
    "cross": _cross,
    "stripes": _stripes,
    "checkerboard": _checkerboard,
    "gradient": None,
    "spiral": _spiral,
    "dots": _dots,
}
_PATTERNS = {
    "stripes": "stripes pattern",
    "dots": "polka dots pattern",
    "checkerboard": "checkerboard",
}


def draw(s: Shape) -> Image.Image:
    """Return a shape on its background, as 128×128 RGB."""
    image = Image.new("RGB", (_SIDE, _SIDE), s.ground_fill)
    pen = _DRAWN[s.kind]
    if pen:
        pen(s, ImageDraw.Draw(image))
    else:
        image = _gradient(s) if s.kind == "gradient" else _sphere(s, image)
    return image.resize((SIZE, SIZE), Image.Resampling.LANCZOS)


def caption(s: Shape) -> str:
    """Return a description such as "large red star on a blue background"."""
    if s.kind == "gradient":
        return f"{s.ground} to {s.color} gradient"
    if s.kind in _PATTERNS:
        return f"{s.color} and {s.ground} {_PATTERNS[s.kind]}"
    name = "shiny ball" if s.kind == "sphere" and s.variant % 2 else s.kind
    return f"{s.size} {s.color} {name} on a {s.ground} background".strip()


def read(count: int, license: str) -> Iterator[Candidate]:
    """Yield ``count`` shapes."""
    for number in range(count):
        chosen = shape(number)
        yield Candidate(
            key=str(number),
            texts=(caption(chosen),),
            draw=partial(draw, chosen),
            kind="drawing",
            license=license,
            tags=(chosen.kind, chosen.color),
            columns={"style": "shape"},
        )
