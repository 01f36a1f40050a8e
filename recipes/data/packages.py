"""Image packages: downloaded in the locked version, verified and unpacked.

Each package is downloaded with its own tool from the registry configured for that tool.
"""

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from recipes.data import repositories
from recipes.data.lock import Package, PackageError, verify


def provide(
    packages: Iterable[Package], folder: Path, clones: Path | None = None
) -> dict[str, Path]:
    """Return each package's content folder by name, downloading and unpacking missing packages.

    clones: a folder of local clones of git repositories, which are used instead of downloads.

    Raises:
        PackageError: a package cannot be downloaded or is not the locked one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return {package.name: _provided(package, folder, clones) for package in packages}


def _provided(package: Package, folder: Path, clones: Path | None) -> Path:
    content = folder / "node_modules" / package.name
    if package.kind != "npm":
        content = folder / "unpacked" / f"{package.name}-{package.sha256[:12]}"
    # An npm package must be in a folder that node searches, so its hash is recorded inside it.
    note = content / ".sha256"
    if note.is_file() and note.read_text() == package.sha256:
        return content
    file = folder / package.file
    if not file.is_file():
        fetch(package, folder, clones)
    verify(package, file)
    with _replacing_folder(content) as temporary:
        unpack(file, temporary)
        (temporary / ".sha256").write_text(package.sha256)
    return content


def fetch(package: Package, folder: Path, clones: Path | None = None) -> None:
    """Download a package's file to the folder, with the tool for its kind.

    Raises:
        PackageError: the tool is missing or fails, or downloads a different file.
    """
    with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as temporary:
        if package.kind == "git":
            repositories.pack(package, clones, Path(temporary))
        else:
            _run(package, _command(package), Path(temporary))
        fetched = Path(temporary) / package.file
        if not fetched.is_file():
            names = ", ".join(sorted(path.name for path in Path(temporary).iterdir()))
            raise PackageError(
                f"fetched {names or 'nothing'} for {package.name}: no {fetched.name}"
            )
        verify(package, fetched)
        fetched.replace(folder / package.file)


def _command(package: Package) -> list[str]:
    if package.kind == "npm":
        return ["npm", "pack", "--silent", f"{package.name}@{package.version}"]
    if package.kind == "deb":
        return ["apt-get", "download", f"{package.name}={package.version}"]
    requirement = f"{package.name}=={package.version}"
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    return [*pip, *package.options, requirement]


_REMEDY: Mapping[str, str] = {
    "npm": "is npm installed, and the registry in reach?",
    "pip": "is the package index in reach?",
    "deb": "it is of Debian 12 (bookworm): elsewhere, fetch it there and put the file here",
}


def _run(package: Package, command: list[str], folder: Path) -> None:
    remedy = _REMEDY[package.kind]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except OSError as error:
        raise PackageError(f"cannot run {command[0]} for {package.file}; {remedy}") from error
    if done.returncode:
        said = (done.stderr.strip() or "no message").splitlines()[-1]
        raise PackageError(f"{command[0]} could not download {package.file} ({said}); {remedy}")


def unpack(file: Path, folder: Path) -> None:
    """Unpack an npm tarball (without its top folder), a wheel, a zip or a Debian package."""
    if file.suffix in (".whl", ".zip"):
        with zipfile.ZipFile(file) as wheel:
            wheel.extractall(folder)
    elif file.suffix == ".deb":
        _unpack_deb(file, folder)
    else:
        with tarfile.open(file) as tarball:
            tarball.extractall(folder, members=_without_top(tarball), filter="data")


def _without_top(tarball: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    for member in tarball:
        _, _, member.name = member.name.partition("/")
        if member.name:
            yield member


def _unpack_deb(file: Path, folder: Path) -> None:
    """Unpack a Debian package's data, a tarball in an `ar` archive."""
    with file.open("rb") as archive:
        archive.seek(len(b"!<arch>\n"))
        while header := archive.read(60):
            name, size = header[:16].decode().strip(" /"), int(header[48:58])
            if name.startswith("data.tar"):
                with tarfile.open(fileobj=archive, mode="r|*") as data:
                    data.extractall(folder, filter="data")
                return
            archive.seek(size + size % 2, os.SEEK_CUR)
    raise PackageError(f"{file.name} is not a Debian package: it has no data.tar")


@contextmanager
def _replacing_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder that replaces ``folder`` on success."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".unpack-"))
    try:
        yield temporary
        shutil.rmtree(folder, ignore_errors=True)
        temporary.replace(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
