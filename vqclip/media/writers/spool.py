"""Frames on disk, for encoders that need them twice or all at once."""

import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import numpy as np

from vqclip.media.writers.base import Array, finishing, kept_on_interrupt, refuse_empty


class Spool:
    """A list of frames of one size, (h, w, 3) uint8, in a temporary file.

    Consecutive equal frames are stored only once.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.places: list[tuple[int, int]] = []  # offset and length of every frame
        self.shape: tuple[int, ...] = ()
        self.last = b""

    def __len__(self) -> int:
        return len(self.places)

    def append(self, image: Array) -> bool:
        """Append a frame; return whether it differs from the previous one."""
        pixels = image.tobytes()
        is_new = pixels != self.last
        if is_new:
            packed = zlib.compress(pixels, 1)
            offset = self.file.seek(0, 2)
            self.file.write(packed)
            self.places.append((offset, len(packed)))
            self.shape, self.last = image.shape, pixels
        else:
            self.places.append(self.places[-1])
        return is_new

    def __getitem__(self, number: int) -> Array:
        offset, length = self.places[number]
        self.file.seek(offset)
        pixels = zlib.decompress(self.file.read(length))
        return np.frombuffer(pixels, np.uint8).reshape(self.shape)

    def __iter__(self) -> Iterator[Array]:
        return (self[number] for number in range(len(self)))


@contextmanager
def spooled(path: Path, overwrite: bool, encode: Callable[[Spool, Path], None]) -> Iterator[Spool]:
    """Yield a spool for frames; on exit, call ``encode`` with the spool and a path.

    Raises:
        UsageError: there are no frames.
    """
    # beside the video because the system's temporary folder may be in memory
    with kept_on_interrupt(path, overwrite) as temporary, TemporaryFile(dir=path.parent) as file:
        spool = Spool(file)

        def finish() -> None:
            if len(spool):
                encode(spool, temporary)

        with finishing(finish):
            yield spool
        refuse_empty(path, len(spool))
