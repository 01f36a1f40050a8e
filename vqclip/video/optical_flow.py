"""Optical flow with OpenCV: the motion of every pixel between two frames."""

from functools import cache
from typing import Any

import numpy as np

from vqclip.errors import UsageError
from vqclip.media.writers import Array

Flow = np.ndarray[Any, np.dtype[np.float32]]

_LEAST_SIDE = 16  # pixels; smaller images are enlarged before the search


@cache
def opencv() -> "Any":
    """Return the OpenCV module.

    Raises:
        UsageError: OpenCV is not installed.
    """
    try:
        import cv2
    except ImportError:
        raise UsageError("optical flow needs OpenCV: run pip install 'vqclip[flow]'") from None
    return cv2


def find_flow(here: Array, there: Array) -> Flow:
    """Return the flow, (h, w, 2) in pixels (right, down), with here(x) ≈ there(x + flow(x)).

    The method is dense inverse search (Kroeger et al. 2016).

    here, there: (h, w, 3) uint8.
    """
    cv2 = opencv()
    grey = [
        cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY) for frame in (here, there)
    ]
    height, width = grey[0].shape
    search = cv2.DISOpticalFlow_create(cv2.DISOpticalFlow_PRESET_MEDIUM)
    if min(height, width) >= _LEAST_SIDE:
        flow: Flow = search.calc(*grey, None)
        return flow
    factor = -(-_LEAST_SIDE // min(height, width))
    large = [cv2.resize(frame, (width * factor, height * factor)) for frame in grey]
    small: Flow = cv2.resize(search.calc(*large, None), (width, height)) / factor
    return small


def warp(image: Array, flow: Flow) -> Array:
    """Return the image sampled at x + flow(x) for each pixel x, repeating edge pixels."""
    cv2 = opencv()
    height, width = flow.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    warped: Array = cv2.remap(
        np.ascontiguousarray(image),
        x + flow[..., 0],
        y + flow[..., 1],
        cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return warped


def visibility(flow: Flow, back: Flow) -> Flow:
    """Return the confidence, (h, w) in [0, 1], that each pixel is visible in the other frame.

    ``flow`` leads from this frame to the other one, and ``back`` leads in the opposite direction.
    For visible pixels, the two nearly cancel out: |f + b|² < 0.01 (|f|² + |b|²) + 0.5 (Sundaram et
    al. 2010).
    """
    returned = warp(back.astype(np.float32), flow)
    gap = ((flow + returned) ** 2).sum(-1)
    allowed = 0.01 * ((flow**2).sum(-1) + (returned**2).sum(-1)) + 0.5
    height, width = gap.shape
    x = np.arange(width) + flow[..., 0]
    y = np.arange(height)[:, None] + flow[..., 1]
    inside = (x > -1) & (x < width) & (y > -1) & (y < height)
    return np.where(inside, np.clip(2 - gap / allowed, 0, 1), 0).astype(np.float32)


class Between:
    """Frames between two others, made by warping both along the flow and blending them."""

    def __init__(self, first: Array, second: Array) -> None:
        self.first, self.second = first, second
        self.flow, self.back = find_flow(first, second), find_flow(second, first)

    def __call__(self, time: float) -> Array:
        """Return the frame at ``time``, from 0 (the first frame) to 1 (the second)."""
        first = warp(self.first, -time * self.flow)
        second = warp(self.second, (time - 1) * self.back)
        return blend(first, second, time)


def blend(first: Array, second: Array, time: float) -> Array:
    """Blend two frames; ``time`` runs from 0 (the first frame) to 1 (the second)."""
    mixed = first + (second.astype(np.float32) - first) * np.float32(time)
    return np.rint(mixed).astype(np.uint8)
