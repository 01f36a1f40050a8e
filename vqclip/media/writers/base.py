"""The writer protocol, and how finished files are published."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from glob import escape
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from vqclip.errors import UsageError
from vqclip.files.atomic import replacing, sweep
from vqclip.files.locking import held, is_held

_YOUNG = 5  # seconds for which a file may be in use without being marked

Array = np.ndarray[Any, np.dtype[np.uint8]]


@dataclass(frozen=True)
class VideoFrame:
    """One frame of a video.

    number: 0 for the first visible frame; hidden frames have negative numbers.
    image: (h, w, 3) uint8.
    """

    number: int
    image: Array


class Writer(Protocol):
    """Protocol for a writer, a function that is called once for each frame."""

    def __call__(self, image: Array, step: int) -> None:
        """Write the frame of a step, (h, w, 3) uint8."""


@contextmanager
def kept_on_interrupt(path: Path, overwrite: bool) -> Iterator[Path]:
    """Like :func:`replacing`, but publish the partial file before re-raising KeyboardInterrupt.

    An empty file is not published. A killed process leaves a temporary file behind, which the next
    writer of ``path`` removes.
    """
    interrupt: KeyboardInterrupt | None = None
    _sweep_killed(path)
    with replacing(path, overwrite=overwrite) as temporary, held(temporary):
        try:
            yield temporary
        except KeyboardInterrupt as error:
            if not temporary.stat().st_size:
                raise
            interrupt = error
    if interrupt:
        raise interrupt


def _sweep_killed(path: Path) -> None:
    """Remove the temporary files that killed processes left for a video.

    Files in use are marked by :func:`vqclip.files.locking.held`, except for a moment after their
    creation. This function therefore keeps both marked files and new ones.
    """
    name = f".{escape(path.stem[:40])}-????????.part{escape(path.suffix)}"

    def killed(left: Path) -> bool:
        if not fnmatchcase(left.name, name):
            return False
        return time.time() - left.stat().st_mtime >= _YOUNG and not is_held(left)

    with suppress(OSError):
        sweep(path.parent, killed)


@contextmanager
def finishing(finish: Callable[[], None]) -> Iterator[None]:
    """Call ``finish`` on exit, even after Ctrl-C, and again if Ctrl-C interrupts the call."""
    interrupt: KeyboardInterrupt | None = None
    try:
        yield
    except KeyboardInterrupt as error:
        interrupt = error
    try:
        finish()
    except KeyboardInterrupt as error:
        interrupt = error
        finish()
    if interrupt:
        raise interrupt


def refuse_empty(path: Path, frames: int) -> None:
    """Check that a video has at least one frame.

    Raises:
        UsageError: there are no frames.
    """
    if not frames:
        raise UsageError(f"there are no frames to write to {path}")
