"""From numbers to pixels, with the same result on every machine."""

from typing import Any

import numpy as np
from PIL import Image

Array = np.ndarray[Any, Any]


def to_image(values: Array) -> Image.Image:
    """Return colours in [0, 1], (h, w, 3) float64, as an RGB picture.

    Sines and exponentials differ in their last bit between processors. A ten-millionth of a level
    decides exact halves, so that such a bit does not.
    """
    levels = np.floor(np.clip(values, 0, 1) * 255 + 0.5 + 1e-7)
    return Image.fromarray(np.minimum(levels, 255).astype(np.uint8))
