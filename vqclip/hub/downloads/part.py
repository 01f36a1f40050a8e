"""Partial downloads on disk, and their origin."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO


@dataclass(frozen=True)
class Origin:
    """Where a part is from: its address, and what tells that the file there is still the same.

    validator: a strong ETag or a Last-Modified date, as the server gave it.
    """

    url: str
    validator: str | None = None


class Part:
    """``NAME.part`` beside a file that is not whole yet, and ``NAME.json`` about its origin."""

    def __init__(self, whole: Path) -> None:
        self.whole = whole
        self.path = whole.with_name(f"{whole.name}.part")
        self._about = whole.with_name(f"{whole.name}.json")

    @property
    def size(self) -> int:
        """How many bytes have come."""
        return self.path.stat().st_size if self.path.exists() else 0

    def origin(self) -> Origin | None:
        """Return where it is from, if that is known."""
        try:
            return Origin(**json.loads(self._about.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def restart(self, origin: Origin) -> None:
        """Forget what has come; what comes now is from ``origin``."""
        self.discard()
        self._about.write_text(json.dumps(asdict(origin)), encoding="utf-8")

    def append(self) -> BinaryIO:
        """Open it for what comes next."""
        return self.path.open("ab")

    def discard(self) -> None:
        """Delete it."""
        self.path.unlink(missing_ok=True)
        self._about.unlink(missing_ok=True)

    def finish(self) -> None:
        """Make it the whole file, at one moment; its origin stays known."""
        with self.path.open("rb") as file:
            os.fsync(file.fileno())
        self.path.replace(self.whole)
