"""Conversion of numbers to pixels, the same on every machine."""

from typing import Any

import numpy as np
from PIL import Image

Array = np.ndarray[Any, Any]


def to_image(values: Array) -> Image.Image:
    """Return colours in [0, 1], (h, w, 3) float64, as an RGB image.

    The last bit of sines and exponentials differs between processors. Adding a ten-millionth of a
    level keeps that bit from deciding how exact halves are rounded.
    """
    levels = np.floor(np.clip(values, 0, 1) * 255 + 0.5 + 1e-7)
    return Image.fromarray(np.minimum(levels, 255).astype(np.uint8))
