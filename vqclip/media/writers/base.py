"""The base class of writers, and how their files are published."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from glob import escape
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from vqclip.errors import UsageError
from vqclip.files.atomic import replacing, sweep
from vqclip.files.formatting import as_json
from vqclip.files.locking import held, is_held

_YOUNG = 5  # seconds

Array = np.ndarray[Any, np.dtype[np.uint8]]


@dataclass(frozen=True)
class FilmFrame:
    """One frame of a video.

    number: from 0. image: (h, w, 3) uint8.
    """

    number: int
    picture: Array


class Writer(Protocol):
    """Takes one frame after another."""

    def __call__(self, image: Array, step: int) -> None:
        """Take the frame, (h, w, 3) uint8, of that step."""


@contextmanager
def kept_on_interrupt(path: Path, overwrite: bool) -> Iterator[Path]:
    """Like :func:`replacing`, but Ctrl-C publishes the file as it stands before it continues.

    Where nothing is in it yet, it leaves no file. A process that is killed leaves the temporary
    one: the next that writes ``path`` removes it.
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
    """Remove what killed processes left of a video; what is being written stays.

    That is :func:`vqclip.files.locking.held`, but for a moment in the beginning.
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
    """Call ``finish`` at the end, also after Ctrl-C, and again if Ctrl-C interrupts it."""
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
    """Raise VqclipError for a video without frames.

    Raises:
        UsageError: there are no frames.
    """
    if not frames:
        raise UsageError(f"no frame to write to {path}")


def as_text(metadata: Mapping[str, Any]) -> str:
    """Return the settings as the JSON that videos carry."""
    return as_json(metadata, sort_keys=True)
