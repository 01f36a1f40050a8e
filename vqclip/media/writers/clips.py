"""Reading videos as upright frames at a constant rate."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import imageio.v3 as iio
import numpy as np

from vqclip.errors import UsageError, VqclipError, one_line
from vqclip.media.writers.base import Array


@dataclass(frozen=True)
class Clip:
    """A video on disk.

    rate: frame rate to which the video is resampled.
    frames: approximate number of frames at this rate.
    size: (width, height).
    turns: clockwise quarter turns that make the frames upright.
    """

    path: Path
    rate: float
    frames: int
    size: tuple[int, int]
    turns: int

    def __iter__(self) -> Iterator[Array]:
        """Yield the frames, (h, w, 3) uint8, decoded one by one and resampled to ``rate``.

        Raises:
            VqclipError: the video is damaged.
        """
        with iio.imopen(self.path, "r", plugin="pyav") as video:
            try:
                for frame in video.iter(filter_sequence=[("fps", f"{self.rate:.6f}")]):
                    yield np.ascontiguousarray(np.rot90(frame, -self.turns))
            except (OSError, ValueError, LookupError) as error:  # base classes of PyAV's errors
                reason = one_line(error, 100)
                raise VqclipError(f"{self.path} is damaged: {reason}") from error


def open_clip(path: Path, fps: float | None = None) -> Clip:
    """Return the video at ``path``; ``fps`` replaces its own frame rate.

    Raises:
        UsageError: the file is missing or not a video.
    """
    if not path.is_file():
        raise UsageError(f"no such video: {path}")
    try:
        about = iio.immeta(path, plugin="pyav")
        first = iio.imread(path, plugin="pyav", index=0)
        turns = _turns(iio.immeta(path, plugin="pyav", index=0).get("DISPLAYMATRIX"))
        shape = np.rot90(first, -turns).shape
        rate = fps or float(about["fps"])
    except (OSError, ValueError, LookupError, StopIteration) as error:
        raise UsageError(f"cannot read {path} as a video") from error
    frames = max(1, round(about.get("duration", 0) * rate))
    return Clip(path, rate, frames, (shape[1], shape[0]), turns)


def _turns(matrix: bytes | None) -> int:
    """Return the number of clockwise quarter turns that a video's display matrix specifies."""
    if matrix is None:
        return 0
    cosine, sine = np.frombuffer(matrix, np.int32)[:2].tolist()
    return round(math.degrees(math.atan2(sine, cosine)) / 90) % 4
