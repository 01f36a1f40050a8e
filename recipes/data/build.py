"""Building the data set: one part per source, rendered on all cores and joined into shards.

A part is a zip of ``rows.jsonl``, ``report.json`` and the images. It is written atomically and
reused until its packages or the recipe change, so that an interrupted build can be resumed. Every
byte is a function of the packages, the recipe and the pinned libraries.
"""

import hashlib
import json
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from recipes.data.lock import Package
from recipes.data.pictures import Picture, render
from recipes.data.sources import Contents, Source
from recipes.data.tables import table_path

HERE = Path(__file__).parent
DIGESTS = HERE / "digests.json"
_DATE = (2020, 1, 1, 0, 0, 0)  # date of every file in a zip
_SHARD_SIZE = 12_000_000  # bytes
# Code that does not affect the images: package downloads and reports.
_WITHOUT_EFFECT = ("__main__.py", "notice.py", "sheets.py", "packages.py", "repositories.py")
_LIBRARIES = ("numpy", "pillow", "resvg-py", "OpenEXR", "zstandard")
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Summary:
    """Counts for a source: kept images, duplicates, and failures by reason."""

    kept: int
    doubles: int
    failures: Mapping[str, int]


def fingerprint(source: Source, packages: Mapping[str, Package]) -> str:
    """Return a hash of everything that a part depends on."""
    parts = [packages[name].sha256 for name in source.packages]
    parts += [f"{name} {version(name)}" for name in _LIBRARIES]
    tables = [path for name in source.packages if (path := table_path(name)).is_file()]
    for path in [*tables, *sorted([*HERE.rglob("*.py"), *HERE.rglob("*.mjs")])]:
        if path.name not in _WITHOUT_EFFECT:
            parts.append(path.read_text(encoding="utf-8"))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def build_part(
    name: str, source: Source, contents: Contents, path: Path, mark: str, workers: Executor
) -> None:
    """Render a source's images into the zip at ``path``, and record the fingerprint ``mark``."""
    candidates = list(source.read(contents))
    drawn = workers.map(partial(render, name), candidates, chunksize=8)
    failures: Counter[str] = Counter()
    rows: list[Row] = []
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as part:
        for number, picture in enumerate(drawn):
            if isinstance(picture, Picture):
                file = f"{name}-{number:05d}.webp"
                store(part, file, picture.webp)
                rows.append({"file": file, **picture.row, "look": picture.look})
            else:
                failures[picture] += 1
        store(part, "rows.jsonl", json_lines(rows))
        report = {"fingerprint": mark, "failures": dict(sorted(failures.items()))}
        store(part, "report.json", json.dumps(report).encode())


def is_current(path: Path, mark: str) -> bool:
    """Return whether a part exists and has this fingerprint."""
    if not path.is_file():
        return False
    with zipfile.ZipFile(path) as part:
        return bool(json.loads(part.read("report.json"))["fingerprint"] == mark)


def join(parts: Mapping[str, Path], folder: Path) -> dict[str, Summary]:
    """Write shards, captions.jsonl and checksums.txt from the sources' parts, in order.

    Of images that look the same, the first is kept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    seen: set[str] = set()
    summaries: dict[str, Summary] = {}
    shards = Shards(folder)
    rows: list[Row] = []
    checksums: list[str] = []
    for name, path in parts.items():
        with zipfile.ZipFile(path) as part:
            found = [json.loads(line) for line in part.read("rows.jsonl").splitlines()]
            kept = _unseen(found, seen)
            for row in kept:
                webp = part.read(row["file"])
                shard = shards.add(row["file"], webp)
                rows.append({**_without_look(row), "shard": shard})
                checksums.append(f"{hashlib.sha256(webp).hexdigest()}  {row['file']}")
            failures = json.loads(part.read("report.json"))["failures"]
            summaries[name] = Summary(len(kept), len(found) - len(kept), failures)
    shards.close()
    write(folder / "captions.jsonl", json_lines(rows))
    write(folder / "checksums.txt", "".join(f"{line}\n" for line in checksums).encode())
    return summaries


def _unseen(rows: Iterable[Row], seen: set[str]) -> list[Row]:
    """Return the rows whose look is not in ``seen``, and add their looks to ``seen``."""
    kept = []
    for row in rows:
        if row["look"] not in seen:
            seen.add(row["look"])
            kept.append(row)
    return kept


def _without_look(row: Row) -> Row:
    return {key: value for key, value in row.items() if key != "look"}


class Shards:
    """Numbered zips of about 12 MB, from images-00.zip, published once all are written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._paths: list[Path] = []
        self._zip: zipfile.ZipFile | None = None
        self._size = 0

    def add(self, name: str, content: bytes) -> str:
        """Store a file and return the name of its shard."""
        if self._zip is None or self._size + len(content) > _SHARD_SIZE:
            self._next()
        assert self._zip
        store(self._zip, name, content)
        self._size += len(content)
        return self._paths[-1].name

    def _next(self) -> None:
        if self._zip:
            self._zip.close()
        self._paths.append(self._folder / f"images-{len(self._paths):02d}.zip")
        self._zip, self._size = zipfile.ZipFile(_unfinished(self._paths[-1]), "w"), 0

    def close(self) -> None:
        """Publish the shards, replacing older ones."""
        if self._zip:
            self._zip.close()
        for path in self._folder.glob("images-*.zip"):
            if path not in self._paths:
                path.unlink()
        for path in self._paths:
            _unfinished(path).replace(path)


def digests(parts: Mapping[str, Path]) -> dict[str, str]:
    """Return a hash of each part's rows and images; parts with equal hashes are byte-identical."""
    found = {}
    for name, path in parts.items():
        digest = hashlib.sha256()
        with zipfile.ZipFile(path) as part:
            for file in sorted(set(part.namelist()) - {"report.json"}):
                digest.update(f"{file}\0".encode() + hashlib.sha256(part.read(file)).digest())
        found[name] = digest.hexdigest()
    return found


def store(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    """Store a file in a zip, uncompressed, with a fixed date and fixed permissions."""
    entry = zipfile.ZipInfo(name, _DATE)
    entry.external_attr = 0o644 << 16
    archive.writestr(entry, content)


def json_lines(rows: Iterable[Row]) -> bytes:
    """Return rows as JSON, one per line."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def write(path: Path, content: bytes) -> None:
    """Write a file atomically."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def _unfinished(path: Path) -> Path:
    return path.with_name(f".{path.name}.unfinished")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that replaces it on success."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _unfinished(path)
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
