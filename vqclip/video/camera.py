"""A video's camera: keyframes for zoom, pan and rotation.

Keyframes are a single value or a list such as ``0:1.0, 50:1.05``. The grammar::

    keyframes = value | key ("," key)*
    key       = frame ":" value
    value     = number ("," number)*

Between keys, values are interpolated linearly; before the first and after the last, they are
constant.
"""

import math
import re
from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vqclip.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

_KEY = re.compile(r"\s*(\d+)\s*:")
_MOST_GIVEN_BACK = 1.3  # maximum factor by which fine detail is amplified per frame


@dataclass(frozen=True)
class Keyframes:
    """Values at ascending frame numbers; all values have the same length."""

    frames: tuple[int, ...]
    values: tuple[tuple[float, ...], ...]

    def __call__(self, frame: float) -> tuple[float, ...]:
        """Return the value at a frame, interpolated if necessary."""
        after = bisect_right(self.frames, frame)
        if after == 0 or after == len(self.frames):
            return self.values[max(0, after - 1)]
        start, end = self.frames[after - 1 : after + 1]
        time = (frame - start) / (end - start)
        ends = zip(*self.values[after - 1 : after + 1], strict=True)
        return tuple(a + (b - a) * time for a, b in ends)


def parse_keyframes(text: str, numbers: int = 1) -> Keyframes:
    """Parse keyframes with ``numbers`` numbers per value.

    >>> parse_keyframes("0:1.0, 50:1.05")(25)
    (1.025,)
    >>> parse_keyframes("2,0", numbers=2)(99)
    (2.0, 0.0)

    Raises:
        UsageError: the syntax is invalid, a number is not finite, or frame numbers do not ascend.
    """
    keys: list[tuple[int, list[str]]] = []
    for part in text.split(","):
        key = _KEY.match(part)
        if key:
            keys.append((int(key[1]), [part[key.end() :]]))
        elif keys:
            keys[-1][1].append(part)
        else:
            keys.append((0, [part]))
    try:
        values = [tuple(map(float, words)) for _, words in keys]
    except ValueError:
        values = []
    frames = tuple(frame for frame, _ in keys)
    if not values or any(len(v) != numbers or not all(map(math.isfinite, v)) for v in values):
        one = ",".join(["1.5"] * numbers)
        raise UsageError(
            f"cannot read {text!r}: write {one}, or keyframes such as 0:{one}, 50:{one}"
        )
    if sorted(set(frames)) != list(frames):
        raise UsageError(
            f"the frame numbers in {text!r} must increase: {', '.join(map(str, frames))}"
        )
    return Keyframes(frames, tuple(values))


@dataclass(frozen=True)
class Motion:
    """The motion from one frame to the next, about the centre.

    zoom: factor by which the content is enlarged.
    pan: movement of the content to the right and down, in pixels.
    rotate: clockwise rotation of the content, in degrees.
    """

    zoom: float = 1.0
    pan: tuple[float, float] = (0.0, 0.0)
    rotate: float = 0.0

    def __bool__(self) -> bool:
        """Return whether there is any motion."""
        return self != Motion()


@dataclass(frozen=True)
class Camera:
    """The motion before every frame, defined by keyframes."""

    zoom: Keyframes
    pan: Keyframes
    rotate: Keyframes

    def __call__(self, frame: int) -> Motion:
        """Return the motion from the previous frame to this one."""
        (zoom,), (right, down), (rotate,) = self.zoom(frame), self.pan(frame), self.rotate(frame)
        return Motion(zoom, (right, down), rotate)


def parse_camera(zoom: str, pan: str, rotate: str) -> Camera:
    """Parse a camera's keyframes.

    Raises:
        UsageError: the keyframes are invalid or a zoom is not above 0.
    """
    zooms = parse_keyframes(zoom)
    if min(zooms.values) <= (0,):
        raise UsageError(f"zoom must be a factor above 0, such as 1.02 or 0.98, not {zoom!r}")
    return Camera(zooms, parse_keyframes(pan, 2), parse_keyframes(rotate))


def move(image: "Tensor", motion: Motion) -> "Tensor":
    """Return ``image``, (1, 3, h, w) in [0, 1], after ``motion``.

    Beyond its edges, the image is mirrored. It is sampled bicubically at p ↦ R(−θ)(p − pan)/zoom,
    in pixels from the centre. Sampling weakens the finest detail a little in every frame, so this
    function amplifies it again.
    """
    import torch.nn.functional as F

    height, width = image.shape[-2:]
    angle = math.radians(motion.rotate)
    cosine, sine = math.cos(angle) / motion.zoom, math.sin(angle) / motion.zoom
    right, down = motion.pan
    # Rows of the matrix, for coordinates from -1 to 1 along each side.
    theta = image.new_tensor(
        [
            [cosine, sine * height / width, -(cosine * right + sine * down) * 2 / width],
            [-sine * width / height, cosine, (sine * right - cosine * down) * 2 / height],
        ]
    )
    grid = F.affine_grid(theta[None], list(image.shape), align_corners=False)
    moved = F.grid_sample(
        image, grid, mode="bicubic", padding_mode="reflection", align_corners=False
    )
    fine = _fine(moved)
    factor = (_fine(image).std() / fine.std().clamp(min=5e-7)).clamp(1, _MOST_GIVEN_BACK)
    return (moved + (factor - 1) * fine).clamp(0, 1)


def _fine(image: "Tensor") -> "Tensor":
    """Return the finest detail: the image minus its centre-weighted mean over 3x3 pixels."""
    import torch.nn.functional as F

    line = image.new_tensor([0.25, 0.5, 0.25])
    kernel = (line[:, None] * line).expand(3, 1, 3, 3)
    return image - F.conv2d(F.pad(image, (1, 1, 1, 1), mode="replicate"), kernel, groups=3)
