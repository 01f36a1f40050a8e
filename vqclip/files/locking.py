"""File locks that the system releases when the owning process ends.

The `filelock` package is unsuitable. Versions before 4 truncate the locked file, which here may be
an unfinished video. The package also does not identify the process that holds a lock.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from vqclip.errors import UsageError, reason_of

_PAUSE = 0.2  # seconds between checks of a lock held by another process


@contextmanager
def locked(path: Path, waiting: Callable[[str], None] | None = None) -> Iterator[None]:
    """Lock the file ``path`` until the block ends or the process is killed.

    waiting: called once before the wait, with the id of the process that holds the lock. If None, a
        lock held by another process is an error.

    Raises:
        UsageError: another process holds the lock, or the folder is not writable.
    """
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise UsageError(f"cannot write to {path.parent}: {reason_of(error)}") from error
    try:
        if not _locks(file):
            if waiting is None:
                raise UsageError(
                    f"another vqclip (process {_owner(file)}) is running in {path.parent}: wait "
                    "for it to finish, or choose another folder as `output`"
                )
            waiting(_owner(file))
            while not _locks(file):
                time.sleep(_PAUSE)
        os.ftruncate(file, 0)
        os.pwrite(file, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(file)


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Mark a file as in use during the block; see :func:`is_held`."""
    if os.name == "nt":  # Windows cannot write a locked region
        yield
        return
    with path.open("rb") as file:
        _locks(file.fileno())
        yield


def is_held(path: Path) -> bool:
    """Return whether a process is using a file; return True if this is unknown."""
    if os.name == "nt":
        return True
    try:
        with path.open("rb") as file:
            return not _locks(file.fileno())
    except OSError:
        return True


def _locks(file: int) -> bool:
    try:
        _lock(file)
    except OSError:
        return False
    return True


if sys.platform == "win32":
    import msvcrt

    def _lock(file: int) -> None:
        os.lseek(file, 1 << 20, os.SEEK_SET)  # beyond the part read by others
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _owner(file: int) -> str:
    os.lseek(file, 0, os.SEEK_SET)
    return os.read(file, 20).decode(errors="replace") or "unknown"
