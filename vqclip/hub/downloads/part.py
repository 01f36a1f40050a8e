"""Partial downloads on disk, and their origins."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Origin:
    """The address of a partial download, and a validator that detects changes to the file.

    validator: a strong ETag or a Last-Modified date, as sent by the server.
    """

    url: str
    validator: str | None = None


class Part:
    """A partial download ``NAME.part`` beside its destination; ``NAME.json`` records its origin."""

    def __init__(self, whole: Path) -> None:
        self.whole = whole
        self.path = whole.with_name(f"{whole.name}.part")
        self._about = whole.with_name(f"{whole.name}.json")

    @property
    def size(self) -> int:
        """Number of bytes downloaded so far."""
        return self.path.stat().st_size if self.path.exists() else 0

    def origin(self) -> Origin | None:
        """Return the origin of the part, or None if unknown."""
        try:
            return Origin(**json.loads(self._about.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def restart(self, origin: Origin) -> None:
        """Discard the bytes downloaded so far and start over from ``origin``."""
        self.discard()
        self._about.write_text(json.dumps(asdict(origin)), encoding="utf-8")

    def discard(self) -> None:
        """Delete the part."""
        self.path.unlink(missing_ok=True)
        self._about.unlink(missing_ok=True)

    def finish(self) -> None:
        """Move the complete part to its destination atomically; the record of its origin stays."""
        with self.path.open("rb") as file:
            os.fsync(file.fileno())
        self.path.replace(self.whole)
