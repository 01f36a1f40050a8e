"""Warning filters for a block of code, in one thread at a time."""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

# Filters belong to the whole process. If two threads overlapped, each would restore the filters
# that it found, so those of the thread that left first would stay forever.
_LOCK = threading.RLock()


@contextmanager
def own_filters() -> Iterator[None]:
    """Restore the warning filters after the block; other threads that call this function wait."""
    with _LOCK, warnings.catch_warnings():
        yield
