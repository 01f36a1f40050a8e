"""SHA-256 of files."""

import hashlib
from functools import lru_cache
from pathlib import Path

from vqclip.errors import UsageError


def weights_hash(path: str | Path) -> str:
    """Return the SHA-256 of a file in hexadecimal; an unchanged file is read only once per process.

    Raises:
        UsageError: there is no such file.

    """
    path = Path(path)
    try:
        stat = path.stat()
        return _sha256(path.resolve(), stat.st_size, stat.st_mtime_ns)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(f"cannot read the weights {path}: {reason}") from None


@lru_cache(maxsize=64)
def _sha256(path: Path, _size: int, _mtime: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
