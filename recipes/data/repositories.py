"""Images from git repositories at a given commit, read from a local clone or downloaded.

Only the files in a repository's table are read, with no checkout, filters or hooks.
"""

import io
import os
import subprocess
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from recipes.data.lock import Package, PackageError
from recipes.data.tables import read_table, table_path

HOST = "https://github.com"


def pack(package: Package, clones: Path | None, folder: Path) -> None:
    """Write the package's file to the folder: an uncompressed zip of the chosen files.

    The same files always give the same bytes.

    Raises:
        PackageError: git is missing or fails, or the repository lacks a file.
    """
    paths = list(dict.fromkeys(row["path"] for row in read_table(table_path(package.name))))
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        clone = find_clone(package.name, clones)
        if not clone:
            clone = Path(temporary)
            _download(package, paths, clone)
        with zipfile.ZipFile(folder / package.file, "w") as archive:
            for path, content in _files(package, paths, clone):
                archive.writestr(zipfile.ZipInfo(path), content)


def find_clone(repository: str, clones: Path | None) -> Path | None:
    """Return the clone of ``owner/name`` in a folder, or None; ``+`` may replace its ``/``."""
    for name in (repository.replace("/", "+"), repository):
        if clones and (clones / name).is_dir():
            return clones / name
    return None


def _download(package: Package, paths: Iterable[str], folder: Path) -> None:
    """Download just the commit and the chosen files to a bare repository in the folder."""
    url = f"{HOST}/{package.name}"
    partial = ("fetch", "--quiet", "--no-tags", "--depth=1", "--filter=blob:none")
    _git(package, folder, "init", "--quiet", "--bare")
    _git(package, folder, *partial, url, package.version)
    listed = _git(package, folder, "ls-tree", "-r", "-z", package.version).decode()
    entries = (entry.partition("\t") for entry in listed.split("\0") if entry)
    blobs = {path: description.split()[2] for description, _, path in entries}
    wanted = "".join(f"{blobs[path]}\n" for path in paths if path in blobs)
    _git(package, folder, *partial, "--stdin", url, given=wanted)


def _files(package: Package, paths: list[str], clone: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the path and content of each file at the package's commit."""
    asked = "".join(f"{package.version}:{path}\n" for path in paths)
    answer = io.BytesIO(_git(package, clone, "cat-file", "--batch", given=asked))
    for path in paths:
        header = answer.readline()
        if header.endswith(b" missing\n"):
            raise PackageError(
                f"{package.name} lacks {path} at commit {package.version[:8]}: "
                f"update the clone {clone}, or do without --clones to download it"
            )
        yield path, answer.read(int(header.split()[-1]))
        answer.readline()


def _git(package: Package, folder: Path, *arguments: str, given: str = "") -> bytes:
    """Run git in a repository with ``given`` as its input; return its output."""
    remedy = "is git installed, and the host in reach? --clones takes local clones"
    command = ["git", "-C", str(folder), *arguments]
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
    try:
        done = subprocess.run(
            command, input=given.encode(), capture_output=True, check=False, env=environment
        )
    except OSError as error:
        raise PackageError(f"cannot run git for {package.file}; {remedy}") from error
    if done.returncode:
        said = (done.stderr.decode(errors="replace").strip() or "no message").splitlines()[-1]
        raise PackageError(f"git could not read {package.name} ({said}); {remedy}")
    return done.stdout
