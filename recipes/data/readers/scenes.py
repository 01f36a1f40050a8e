"""Generated landscapes: a sky, land, and possibly clouds, stars, sun or moon."""

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from PIL import Image

from recipes.data.candidates import Candidate
from recipes.data.pictures import SIZE
from recipes.data.quantize import to_image

Array = np.ndarray[Any, Any]
Color = tuple[int, int, int]

_DOWN, _RIGHT = np.mgrid[0:SIZE, 0:SIZE].astype(np.float64)


@dataclass(frozen=True, slots=True)
class Sky:
    """A sky: its colours above and at the horizon, its description, and the land's brightness."""

    top: Color
    bottom: Color
    told: str
    light: float = 1.0
    clouded: bool = False


_SKIES = {
    "sunset": Sky((40, 30, 90), (250, 130, 60), "at sunset", 0.65),
    "sunrise": Sky((110, 150, 220), (255, 200, 130), "at sunrise", clouded=True),
    "day": Sky((60, 130, 230), (190, 225, 250), "under a blue sky", clouded=True),
    "night": Sky((5, 8, 30), (25, 35, 80), "at night", 0.3),
    "storm": Sky((50, 55, 65), (120, 125, 130), "under dark storm clouds", 0.6, clouded=True),
    "dusk": Sky((60, 40, 110), (230, 150, 190), "at dusk with a purple sky", 0.6),
}


@dataclass(slots=True)
class Scene:
    """A landscape being painted: canvas (128, 128, 3) in [0, 255], row 0 at the top."""

    number: int
    chance: random.Random
    name: str
    horizon: int
    words: list[str] = field(default_factory=list)
    canvas: Array = field(default_factory=lambda: np.zeros((SIZE, SIZE, 3)))

    @property
    def sky(self) -> Sky:
        """The sky above the land."""
        return _SKIES[self.name]

    def blend(self, color: Any, opacity: Array) -> None:
        """Paint a colour, (3,) or (128, 128, 3), where the opacity, (128, 128), is not 0."""
        share = opacity[..., None]
        self.canvas = self.canvas * (1 - share) + np.asarray(color, float) * share

    def fill(self, ridge: Array, color: Color, haze: float = 0.0) -> None:
        """Paint the area below a line, (128,), in a grainy colour that haze blends into the sky."""
        light = np.multiply(color, self.sky.light)
        base = light * (1 - haze) + np.multiply(self.sky.bottom, haze)
        grain = (noise(self.number + sum(color)) - 0.5) * 28 * self.sky.light
        self.blend(np.clip(base + grain[..., None], 0, 255), _below(ridge))


def noise(seed: int, octaves: int = 5) -> Array:
    """Return smooth noise, (128, 128) in [0, 1]: octaves of random grids, each half as strong."""
    state = np.random.RandomState(seed)
    total = np.zeros((SIZE, SIZE))
    for octave in range(octaves):
        side = 2 ** (octave + 2)
        grid = Image.fromarray(state.rand(side, side).astype(np.float32))
        total += np.asarray(grid.resize((SIZE, SIZE), Image.Resampling.BICUBIC)) * 0.5**octave
    whole: Array = (total - total.min()) / (total.max() - total.min())
    return whole


def skyline(roughness: float, seed: int) -> Array:
    """Return a fractal line, (128,) in [0, 1]; roughness increases the weight of fine octaves."""
    state = np.random.RandomState(seed)
    total = np.zeros(SIZE)
    for octave in range(6):
        knots = 3 * 2**octave
        heights = state.rand(knots + 1) * roughness**octave
        total += np.interp(np.linspace(0, knots, SIZE), np.arange(knots + 1), heights)
    line: Array = (total - total.min()) / (total.max() - total.min() + 1e-6)
    return line


def _below(line: Array) -> Array:
    """Return 1 below a line, (128,), and 0 above, with a soft edge of one pixel."""
    opacity: Array = np.clip(_DOWN - line[None, :] + 0.5, 0, 1)
    return opacity


def _paint_sky(scene: Scene) -> None:
    share = np.minimum(1, np.arange(SIZE) / scene.horizon)[:, None, None]
    scene.canvas += np.asarray(scene.sky.top) * (1 - share) + np.asarray(scene.sky.bottom) * share


def _paint_clouds(scene: Scene) -> None:
    color = (80, 82, 88) if scene.name == "storm" else (245, 245, 250)
    scene.blend(color, np.clip(noise(scene.number) * 1.7 - 0.75, 0, 1) * 0.9)
    scene.words.append("clouds")


def _paint_stars(scene: Scene) -> None:
    state = np.random.RandomState(scene.number)
    for _ in range(60):
        down, right = state.randint(0, scene.horizon), state.randint(0, SIZE)
        scene.canvas[down, right] = state.randint(150, 255)
    scene.words.append("stars")


def _paint_light(scene: Scene) -> None:
    """Paint the sun, or the moon at night, with its glow."""
    chance = scene.chance
    right, down = chance.randint(20, 108), chance.randint(12, scene.horizon - 8)
    radius = chance.randint(6, 13)
    color = {"night": (245, 245, 225), "sunset": (255, 190, 90)}.get(scene.name, (255, 240, 170))
    distance = np.sqrt((_RIGHT - right) ** 2 + (_DOWN - down) ** 2)
    scene.blend(color, np.exp(-np.maximum(distance - radius, 0) / 14) * 0.5)
    scene.blend(color, np.clip(radius - distance + 0.5, 0, 1))
    scene.words.append("moon" if scene.name == "night" else "sun")


_RANGES = ((110, 115, 130), (80, 90, 105), (50, 80, 55))


def _mountains(scene: Scene, *, snow: bool = False) -> None:
    for depth, color in enumerate(_RANGES):
        height = (1 - depth * 0.33) * 45 * skyline(0.55, scene.number * 7 + depth)
        ridge = scene.horizon - height - 4 + depth * 9
        scene.fill(ridge, color, 0.45 - 0.2 * depth)
        if snow and depth < 2:
            line = ridge.min() + 20 + 6 * noise(scene.number, 4)
            above_line = np.clip((line - _DOWN) / 3, 0, 1)
            white = np.multiply((240, 245, 250), scene.sky.light**0.5)
            scene.blend(white, _below(ridge) * above_line)


def _sea(scene: Scene) -> None:
    scene.fill(np.full(SIZE, float(scene.horizon)), (30, 90, 160), 0.25)
    waves = np.sin(_DOWN * 1.2 + 36 * noise(scene.number, 4)) * 6 * scene.sky.light
    water = (scene.horizon < _DOWN)[..., None]
    scene.canvas = np.where(water, np.clip(scene.canvas + waves[..., None], 0, 255), scene.canvas)


def _lake(scene: Scene) -> None:
    _sea(scene)
    scene.fill(scene.horizon - 10 * skyline(0.5, scene.number), (40, 90, 50), 0.3)
    mirrored = np.clip(2 * scene.horizon - np.arange(SIZE), 0, SIZE - 1)
    reflection = scene.canvas[mirrored] * 0.75 + np.array([10, 25, 45])
    water = (scene.horizon + 1 < _DOWN)[..., None]
    scene.canvas = np.where(water, reflection, scene.canvas)


def _beach(scene: Scene) -> None:
    _sea(scene)
    scene.fill(100 + 8 * skyline(0.3, scene.number) - np.arange(SIZE) * 0.12, (235, 210, 150))


def _island(scene: Scene) -> None:
    _sea(scene)
    centre = scene.chance.randint(35, 95)
    hill = np.exp(-(((np.arange(SIZE) - centre) / 18.0) ** 2))
    height = 18 * hill * (0.7 + 0.5 * skyline(0.5, scene.number))
    land = np.clip(_DOWN - (scene.horizon - height)[None, :], 0, 1)
    land = land * (scene.horizon + 2 >= _DOWN) * (height > 1.2)[None, :]
    scene.blend(np.multiply((50, 110, 50), scene.sky.light), land)


_GROUNDS: Mapping[str, tuple[Color, Color, Color]] = {
    "hills": ((90, 150, 70), (70, 140, 50), (50, 120, 40)),
    "desert": ((225, 180, 110), (215, 160, 90), (200, 140, 70)),
    "forest": ((50, 90, 55), (35, 80, 40), (20, 60, 30)),
    "city": ((90, 95, 110), (60, 65, 80), (45, 48, 60)),
    "field": ((120, 170, 70), (200, 190, 80), (210, 180, 60)),
    "snow": ((235, 240, 248), (225, 232, 245), (245, 248, 252)),
}


def _ground(scene: Scene, *, kind: str) -> None:
    """Paint three layers with trees or houses, the nearest last."""
    for depth, color in enumerate(_GROUNDS[kind]):
        base = scene.horizon + depth * 16
        line = base - (16 - depth * 3) * skyline(0.4, scene.number * 5 + depth)
        state = np.random.RandomState(scene.number + depth)
        if kind == "forest":
            line = _with_trees(line, base, depth, state)
        if kind == "city":
            line = _houses(base, depth, state)
        scene.fill(line, color, 0.35 - 0.15 * depth)
        if kind == "city":
            _light_windows(scene, line, depth)


def _with_trees(line: Array, base: float, depth: int, state: np.random.RandomState) -> Array:
    for _ in range(26):
        centre = state.randint(0, SIZE)
        height = state.randint(8, 20) * (1 + depth * 0.5)
        cone = np.clip(1 - np.abs(np.arange(SIZE) - centre) / (height * 0.32), 0, 1)
        line = np.minimum(line, base - height * cone)
    return line


def _houses(base: float, depth: int, state: np.random.RandomState) -> Array:
    line, left = np.full(SIZE, base - 2.0 * depth), 0
    while left < SIZE:
        width = state.randint(6, 15)
        line[left : left + width] -= state.randint(8, 48 if depth < 2 else 30)
        left += width
    return line


def _light_windows(scene: Scene, line: Array, depth: int) -> None:
    lit = np.random.RandomState(scene.number + depth).rand(SIZE, SIZE) < 0.5
    raster = (_RIGHT % 5 < 2) & (_DOWN % 6 < 3)
    depth_below = _DOWN - line[None, :]
    inside = (depth_below > 2) & (depth_below < 60)
    dark = scene.name in ("night", "dusk", "sunset", "storm")
    color = (250, 220, 120) if dark else (170, 190, 215)
    scene.blend(color, (lit & raster & inside).astype(float))


# Each land with its name in captions and its painting function.
_LANDS: Mapping[str, tuple[str, Callable[[Scene], None]]] = {
    "mountains": ("mountains", _mountains),
    "snowy mountains": ("snowy mountains", partial(_mountains, snow=True)),
    "hills": ("green hills", partial(_ground, kind="hills")),
    "sea": ("the sea", _sea),
    "lake": ("a lake", _lake),
    "desert": ("desert dunes", partial(_ground, kind="desert")),
    "forest": ("a forest of pine trees", partial(_ground, kind="forest")),
    "city": ("a city skyline with buildings", partial(_ground, kind="city")),
    "field": ("a yellow and green field", partial(_ground, kind="field")),
    "beach": ("a sandy beach by the sea", _beach),
    "island": ("a green island in the sea", _island),
    "snow": ("a snow covered landscape", partial(_ground, kind="snow")),
}


def paint(number: int) -> tuple[Scene, str]:
    """Paint landscape ``number``; return it and the name of its land."""
    chance = random.Random(9000 + number)
    name = chance.choice(list(_SKIES))
    scene = Scene(number, chance, name, horizon=chance.randint(55, 90))
    _paint_sky(scene)
    if scene.sky.clouded and chance.random() < 0.6:
        _paint_clouds(scene)
    if name == "night":
        _paint_stars(scene)
    if chance.random() < 0.6:
        _paint_light(scene)
    land = chance.choice(list(_LANDS))
    _LANDS[land][1](scene)
    return scene, land


def _draw(number: int) -> Image.Image:
    return to_image(paint(number)[0].canvas / 255)


def read(count: int, license: str) -> Iterator[Candidate]:
    """Yield ``count`` landscapes."""
    for number in range(count):
        scene, land = paint(number)
        shown = f" with {' and '.join(scene.words)}" if scene.words else ""
        caption = f"{_LANDS[land][0]} {scene.sky.told}{shown}"
        yield Candidate(
            key=str(number),
            texts=(caption, f"landscape of {caption}"),
            draw=partial(_draw, number),
            kind="drawing",
            license=license,
            tags=(land, scene.name, "landscape", *scene.words),
            columns={"style": "illustration"},
        )
