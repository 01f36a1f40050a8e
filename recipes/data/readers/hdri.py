"""Views of panoramas: Poly Haven's HDRIs, packed as base64 in JavaScript modules."""

import base64
import math
import re
import tempfile
from collections.abc import Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from recipes.data.candidates import Candidate
from recipes.data.quantize import to_image

Array = np.ndarray[Any, Any]

_CAPTIONS = {
    "apartment": "interior of an apartment living room",
    "bridge": "a bridge over a river under a cloudy sky",
    "city": "a city street with tall buildings",
    "dawn": "a country landscape at dawn",
    "esplanade": "a royal esplanade with buildings and trees",
    "forest": "a green forest with trees and moss",
    "hall": "a large hall interior",
    "lab": "a laboratory room interior",
    "lobby": "a hotel lobby interior",
    "night": "a street at night with lights",
    "park": "a park with grass and trees",
    "sky": "blue sky with clouds",
    "studio": "a photo studio with lamps",
    "sunrise": "sunrise over a field",
    "sunset": "sunset over the water",
    "venice": "sunset in venice by the canal",
    "warehouse": "an empty warehouse interior",
    "workshop": "a workshop room with tools",
}
_FIELD_OF_VIEW = math.radians(85)
_VIEW = 256  # pixels


def read(folder: Path, license: str) -> Iterator[Candidate]:
    """Yield 18 views of each panorama (``name.exr.js``) in the folder."""
    for name, caption in _CAPTIONS.items():
        for yaw in range(0, 360, 30):
            for pitch in (0, 22) if yaw % 60 == 0 else (8,):
                yield Candidate(
                    key=f"{name}/{yaw}/{pitch}",
                    texts=(caption,),
                    draw=partial(_draw, folder / f"{name}.exr.js", yaw, pitch),
                    kind="photo",
                    license=license,
                    tags=(name,),
                    columns={"crop": True},
                )


def _draw(path: Path, yaw: float, pitch: float) -> Image.Image:
    return to_image(view(_panorama(path), math.radians(yaw), math.radians(pitch)))


@lru_cache(maxsize=2)
def _panorama(path: Path) -> Array:
    """Return the EXR in a JavaScript module as (h, w, 3) float64 in [0, 1]."""
    import OpenEXR

    packed = re.search(r"base64,([A-Za-z0-9+/=]+)", path.read_text())
    if not packed:
        raise ValueError(f"no base64 in {path.name}")
    with tempfile.NamedTemporaryFile(suffix=".exr") as file:
        file.write(base64.b64decode(packed[1]))
        file.flush()
        channels = OpenEXR.File(file.name).channels()
    whole = next((channels[name] for name in ("RGB", "RGBA") if name in channels), None)
    if whole is not None:
        return tone_mapped(whole.pixels[..., :3].astype(np.float64))
    planes = [channels[name].pixels for name in "RGB"]
    return tone_mapped(np.stack(planes, -1).astype(np.float64))


def tone_mapped(radiance: Array) -> Array:
    """Return radiance in [0, inf) as displayed colour in [0, 1]: exposed, compressed, gamma 2.2."""
    exposed = radiance / np.sort(radiance, axis=None)[int(0.85 * radiance.size)] * 0.55
    compressed = exposed * (1 + exposed / 4) / (1 + exposed)
    mapped: Array = np.clip(compressed, 0, 1) ** (1 / 2.2)
    return mapped


def view(panorama: Array, yaw: float, pitch: float) -> Array:
    """Return a camera's view, (256, 256, 3), of an equirectangular panorama, (h, w, 3).

    yaw, pitch: the camera's direction in radians; right and up are positive.
    """
    down, right = np.mgrid[0:_VIEW, 0:_VIEW]
    x, y = (right - (_VIEW - 1) / 2) * 2 / _VIEW, ((_VIEW - 1) / 2 - down) * 2 / _VIEW
    ray = np.stack([x, y, np.full_like(x, 1 / math.tan(_FIELD_OF_VIEW / 2))], -1)
    ray /= np.sqrt((ray**2).sum(-1, keepdims=True))
    cosine, sine = math.cos(pitch), math.sin(pitch)
    up = ray[..., 1] * cosine + ray[..., 2] * sine
    ahead = ray[..., 2] * cosine - ray[..., 1] * sine
    longitude = np.arctan2(ray[..., 0], ahead) + yaw
    latitude = np.arcsin(np.clip(up, -1, 1))
    height, width, _ = panorama.shape
    column = longitude / (2 * math.pi) % 1 * width - 0.5
    row = (0.5 - latitude / math.pi) * height - 0.5
    return _interpolated(panorama, column, row)


def _interpolated(panorama: Array, column: Array, row: Array) -> Array:
    """Sample bilinearly, with columns that wrap around and rows that end at the edge."""
    height, width, _ = panorama.shape
    left, top = np.floor(column).astype(int), np.floor(row).astype(int)
    across, down = (column - left)[..., None], (row - top)[..., None]

    def at(i: Array, j: Array) -> Array:
        pixels: Array = panorama[np.clip(j, 0, height - 1), i % width]
        return pixels

    upper = at(left, top) * (1 - across) + at(left + 1, top) * across
    lower = at(left, top + 1) * (1 - across) + at(left + 1, top + 1) * across
    blended: Array = upper * (1 - down) + lower * down
    return blended
