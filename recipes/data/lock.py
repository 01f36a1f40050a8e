"""The lock file: image packages, the hashes of their files, and credits."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

LOCK = Path(__file__).with_name("packages.lock.json")


class PackageError(Exception):
    """A package is unavailable or not the locked one; the message is one line with a remedy."""


@dataclass(frozen=True, slots=True)
class Package:
    """A locked package: its source, the hash of its file, and its credit.

    kind: npm, deb, pip or git.
    version: the version or, for git, the commit.
    file: file name on disk.
    license, credit: for the NOTICE.
    options: additional options for ``pip download``.
    """

    name: str
    kind: str
    version: str
    file: str
    sha256: str
    license: str
    credit: str
    options: tuple[str, ...] = ()


def read_lock(path: Path = LOCK) -> dict[str, Package]:
    """Return the locked packages by name."""
    rows = json.loads(path.read_text(encoding="utf-8"))
    packages = [Package(**{**row, "options": tuple(row.get("options", ()))}) for row in rows]
    return {package.name: package for package in packages}


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def verify(package: Package, path: Path) -> None:
    """Check that a file is the locked one.

    Raises:
        PackageError: the file is not the locked one.
    """
    found = sha256_of(path)
    if found != package.sha256:
        raise PackageError(
            f"{path.name} is not the locked {package.name} {package.version}: its sha256 is "
            f"{found}, not {package.sha256}; delete it to fetch it again"
        )
