"""Atomic writing of files and folders, and selection of unused paths."""

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from vqclip.errors import VqclipError

_TEMPORARY = re.compile(r"\..{0,40}-[a-z0-9_]{8}\.part(\.\w+)?")  # as named by mkstemp


@contextmanager
def writing() -> Iterator[None]:
    """Turn file-writing errors into one-line messages.

    Raises:
        VqclipError: a file could not be written.
    """
    try:
        yield
    except FileExistsError as error:
        raise VqclipError(f"{error}; it was left unchanged") from error
    except OSError as error:
        advice = "; free some space and try again" if error.errno == errno.ENOSPC else ""
        raise VqclipError(f"cannot write: {error.strerror or error}{advice}") from error


@contextmanager
def replacing(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary path that replaces ``path`` on success and is removed otherwise.

    The temporary path is in the same folder as ``path``. With ``overwrite``, a symbolic link is
    kept, and its target is replaced.

    Raises:
        FileExistsError: ``path`` is a pipe or device, or ``overwrite`` is not set and ``path``
            exists, even if it was created during the block. The existing file is kept.
    """
    path = target_of(path) if overwrite else path
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(
        prefix=f".{path.stem[:40]}-", suffix=f".part{path.suffix}", dir=path.parent
    )
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        _publish(temporary, path, overwrite)
    finally:
        temporary.unlink(missing_ok=True)


def sweep(folder: Path, only: Callable[[Path], bool] = lambda _: True) -> None:
    """Remove temporary files left behind by :func:`replacing` when a process was killed."""
    for path in folder.glob(".*-*.part*") if folder.is_dir() else ():
        if _TEMPORARY.fullmatch(path.name) and only(path):
            path.unlink(missing_ok=True)


def publish(file: Path, path: Path, *, overwrite: bool = False) -> None:
    """Atomically rename a complete file from its temporary name to ``path``.

    Raises:
        FileExistsError: under the same conditions as :func:`replacing`.
    """
    path = target_of(path) if overwrite else path
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        _publish(file, path, overwrite)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        with replacing(path, overwrite=overwrite) as temporary:
            shutil.copyfile(file, temporary)


def _publish(temporary: Path, path: Path, overwrite: bool) -> None:
    if overwrite:
        if is_special(path):
            raise FileExistsError(f"{path} is a pipe or device")
        temporary.replace(path)
        return
    try:
        os.link(temporary, path)  # unlike a rename, this fails if the name is taken
    except (PermissionError, NotImplementedError, OSError) as error:
        if isinstance(error, FileExistsError) or is_taken(path):
            raise FileExistsError(f"{path} exists") from error
        temporary.replace(path)  # a file system without hard links


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def is_taken(path: Path) -> bool:
    """Return whether ``path`` exists; a dangling symbolic link counts as existing."""
    return os.path.lexists(path)


def target_of(path: Path) -> Path:
    """Return a symbolic link's target, even a missing one; return any other path unchanged."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def is_special(path: Path) -> bool:
    """Return whether ``path`` is a special file, such as a pipe or device."""
    return path.exists() and not (path.is_file() or path.is_dir())


def free_path(path: Path, taken: Callable[[Path], bool] = is_taken) -> Path:
    """Return ``path``, or the first free path of ``name-2``, ``name-3``, … if ``path`` is taken.

    >>> free_path(Path("a.png"), {Path("a.png")}.__contains__).name
    'a-2.png'
    """
    candidate, number = path, 1
    while taken(candidate):
        number += 1
        candidate = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return candidate


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes ``path`` when the block succeeds."""
    temporary = path.with_name(f".{path.name}.partial")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():  # some writers make their files private
                file.chmod(0o666 & ~_umask())
        _rename_folder(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _rename_folder(temporary: Path, path: Path) -> None:
    """Rename a finished folder to its final name, replacing any older folder with that name."""
    old = path.with_name(f".{path.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if path.exists():
        path.replace(old)
    temporary.replace(path)
    shutil.rmtree(old, ignore_errors=True)
