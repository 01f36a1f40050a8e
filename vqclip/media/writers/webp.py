"""Animated WebP, written with Pillow."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from PIL import Image

from vqclip.config import VideoConfig
from vqclip.files.formatting import as_json
from vqclip.media.metadata import exif
from vqclip.media.writers.base import Array, Writer
from vqclip.media.writers.spool import Spool, spooled


@contextmanager
def webp_writer(
    path: Path, video: VideoConfig, metadata: Mapping[str, Any] | None, overwrite: bool
) -> Iterator[Writer]:
    """Write an animated WebP with the settings in its Exif data, as in a still image."""

    def encode(spool: Spool, file: Path) -> None:
        with file.open("wb") as out:
            Image.fromarray(spool[0]).save(
                out,
                "WEBP",
                save_all=True,
                append_images=[_FollowingFrames(spool)] if len(spool) > 1 else [],
                duration=_milliseconds(len(spool), video.rate),
                loop=video.loop,
                quality=video.quality,
                method=2,
                exif=exif(as_json(metadata, sort_keys=True)) if metadata else b"",
            )

    with spooled(path, overwrite, encode) as spool:

        def write(image: Array, step: int) -> None:
            spool.append(image)

        yield write


def _milliseconds(frames: int, rate: float) -> list[int]:
    """Return each frame's duration in ms; rounding errors carry over to the next frame."""
    times = [round(1000 * number / rate) for number in range(frames + 1)]
    return [after - before for before, after in pairwise(times)]


class _FollowingFrames:
    """All frames but the first, as the multi-frame image that Pillow expects.

    Pillow loads one frame at a time, whereas a list of images would keep all of them in memory.
    """

    def __init__(self, spool: Spool) -> None:
        self.spool = spool
        self.n_frames = len(spool) - 1
        self.seek(0)

    def seek(self, number: int) -> None:
        self.shown = Image.fromarray(self.spool[number + 1])

    def __getattr__(self, name: str) -> Any:
        return getattr(self.shown, name)
