"""SHA-256 hashes of files, and seeds of any size."""

import hashlib
from functools import lru_cache
from pathlib import Path

from vqclip.errors import UsageError


def weights_hash(path: str | Path) -> str:
    """Return a file's SHA-256 hash in hexadecimal; read an unchanged file only once per process.

    Raises:
        UsageError: the file cannot be read.
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


def stream_seed(seed: int) -> int:
    """Return a 32-bit seed for torch's CPU generator.

    The generator ignores higher bits, so larger seeds are hashed to keep them distinct.

    >>> stream_seed(7), stream_seed(7 + 2**32) == 7
    (7, False)
    """
    if seed < 2**32:
        return seed
    return int.from_bytes(hashlib.sha256(str(seed).encode()).digest()[:4], "big")
