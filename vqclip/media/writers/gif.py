"""GIFs that have one palette for all frames and store only changed pixels."""

import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import GifImagePlugin, Image

from vqclip.config import VideoConfig
from vqclip.files.formatting import as_json
from vqclip.media.writers.base import Array, Writer
from vqclip.media.writers.palette import Ditherer, Histogram
from vqclip.media.writers.spool import Spool, spooled

_COLOURS = 255  # plus a transparent one, which lets the previous frame show through
_LEAST_TICKS = 2  # hundredths of a second; browsers slow down anything faster


@contextmanager
def gif_writer(
    path: Path, video: VideoConfig, metadata: Mapping[str, Any] | None, overwrite: bool
) -> Iterator[Writer]:
    """Write a GIF with one palette, ordered dithering and its settings as a comment."""
    histogram = Histogram()

    def encode(spool: Spool, file: Path) -> None:
        palette = histogram.palette(_COLOURS)
        frames = _timed(map(Ditherer(palette), spool), video.rate)
        with file.open("wb") as out:
            out.write(_header(spool.shape, palette, video.loop, metadata))
            _write_frames(out, frames)

    with spooled(path, overwrite, encode) as spool:

        def write(image: Array, step: int) -> None:
            if spool.append(image):
                histogram.add(image)

        yield write


def _timed(frames: Iterable[Array], rate: float) -> Iterator[tuple[Array, int]]:
    """Yield frames and their durations in hundredths of a second.

    Equal frames are merged, and very short frames are dropped.
    """
    shown, since = None, 0
    for number, frame in enumerate(frames):
        now = round(100 * number / rate)
        if shown is not None and not np.array_equal(frame, shown) and now - since >= _LEAST_TICKS:
            yield shown, now - since
            since = now
        shown = frame
    if shown is not None:
        yield shown, max(_LEAST_TICKS, round(100 * (number + 1) / rate) - since)


def _header(
    shape: tuple[int, ...], palette: Array, loop: int, metadata: Mapping[str, Any] | None
) -> bytes:
    """Return the bytes before the first frame: size, palette, number of loops and comment."""
    height, width, _ = shape
    colours = palette.tobytes().ljust(3 * 256, b"\0")
    parts = [b"GIF89a", struct.pack("<HHBBB", width, height, 0xF7, 0, 0), colours]
    if loop != 1:  # 0 is forever; otherwise the file stores the number of repeats
        again = max(0, loop - 1)
        parts.append(b"!\xff\x0bNETSCAPE2.0\x03\x01" + struct.pack("<HB", again, 0))
    if metadata:
        text = as_json(metadata, sort_keys=True).encode()
        pieces = (text[i : i + 255] for i in range(0, len(text), 255))
        parts += [b"!\xfe", *(bytes([len(piece)]) + piece for piece in pieces), b"\0"]
    return b"".join(parts)


def _write_frames(file: IO[bytes], frames: Iterable[tuple[Array, int]]) -> None:
    """Write the bounding box of the changes in each frame, with unchanged pixels transparent."""
    before = None
    for frame, ticks in frames:
        top, left, changed = _difference(frame, before)
        for part in GifImagePlugin.getdata(
            Image.fromarray(changed), (left, top), duration=10 * ticks, transparency=_COLOURS
        ):
            file.write(part)
        before = frame
    file.write(b";")


def _difference(frame: Array, before: Array | None) -> tuple[int, int, Array]:
    """Return the bounding box of the changes as (top, left, pixels).

    Unchanged pixels are transparent.
    """
    if before is None:
        return 0, 0, frame
    changes = frame != before
    rows, columns = np.flatnonzero(changes.any(1)), np.flatnonzero(changes.any(0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    changed = np.where(changes[box], frame[box], np.uint8(_COLOURS))
    return int(rows[0]), int(columns[0]), changed
