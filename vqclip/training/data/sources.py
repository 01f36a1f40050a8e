"""Image sources: folders, and JSONL files with captions and shards."""

import hashlib
import json
import os
import tarfile
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vqclip.errors import UsageError
from vqclip.files.environment import user_path
from vqclip.files.filters import own_filters
from vqclip.media.colour_words import Pixels
from vqclip.media.images import FORMATS, fit_image
from vqclip.registry import unknown
from vqclip.training.data.settings import SourceConfig, Where

_SHARDS = (".zip", ".tar")
_UNREADABLE = (OSError, ValueError, KeyError, SyntaxError, EOFError, zipfile.BadZipFile)


@dataclass(frozen=True, slots=True)
class DataEntry:
    """An image in a source.

    place: the shard or folder that contains the image.
    file: the image's name in ``place``.
    texts: the image's captions, starting with its name.
    group: a key shared by all images of the same thing.
    columns: all columns in the image's row.
    fit: how the image is made square.
    """

    place: Path
    file: str
    texts: tuple[str, ...]
    group: str
    columns: Mapping[str, Any]
    weight: float = 1.0
    fit: str = "cover"

    @property
    def name(self) -> str:
        """Return a name for messages: the shard or folder, and the file's name in it."""
        return f"{self.place.name}/{self.file}"


def read_source(source: SourceConfig) -> list[DataEntry]:
    """Return the images in a source that match its ``where``, in a fixed order.

    Raises:
        UsageError: the path does not exist or has no usable images, or a row names no file.
    """
    path = user_path(source.path)
    if path.is_dir():
        rows = _folder_rows(path)
    elif path.suffix == ".jsonl" and path.is_file():
        rows = _jsonl_rows(path)
    else:
        raise UsageError(f"no images at {source.path}: use a folder, or a .jsonl of captions")
    entries = _with_categories([_entry(place, row, source) for place, row in rows])
    if not entries:
        raise UsageError(f"no images in {source.path}: use a folder that contains PNGs or JPEGs")
    check_columns(source.where, entries)
    taken = [entry for entry in entries if matches(entry.columns, source.where)]
    if not taken:
        raise UsageError(f"no images from {source.path} are left; check the source's where")
    return taken


def matches(columns: Mapping[str, Any], where: Where) -> bool:
    """Return whether a row's columns have the values in ``where``.

    A key ``not_x`` excludes values of column x. A missing column has the value None. A column that
    contains a list matches if any of the list's values does.

    >>> matches({"kind": "photo"}, {"kind": ["photo", "render"], "not_source": "noto"})
    True
    """
    for key, allowed in where.items():
        column = key.removeprefix("not_")
        found, wanted = _values(columns.get(column)), _values(allowed)
        if any(value in wanted for value in found) == (key != column):
            return False
    return True


def _values(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else (value,)


def check_columns(where: Where, entries: Iterable[DataEntry]) -> None:
    """Check that each column in ``where`` exists for at least one image.

    Raises:
        UsageError: no image has the column; the message suggests the nearest one.
    """
    known = {column for entry in entries for column in entry.columns} if where else ()
    for key in where:
        if key.removeprefix("not_") not in known:
            raise unknown("column", key.removeprefix("not_"), known)


def group_hash(group: str, salt: str = "") -> float:
    """Return a number in [0, 1) that depends only on the group and the salt."""
    digest = hashlib.sha256(f"{salt}:{group}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def _entry(place: Path, row: Mapping[str, Any], source: SourceConfig) -> DataEntry:
    text = row.get("text") or ()
    texts = (text,) if isinstance(text, str) else tuple(str(t) for t in text)
    group = str(row.get("group") or (texts[0].lower() if texts else row["file"]))
    return DataEntry(place, str(row["file"]), texts, group, row, source.weight, source.fit)


def _with_categories(entries: list[DataEntry]) -> list[DataEntry]:
    """Fill in a missing ``category`` from another row of the same group."""
    known = {e.group: e.columns["category"] for e in entries if e.columns.get("category")}
    return [
        replace(entry, columns={**entry.columns, "category": known[entry.group]})
        if entry.group in known and not entry.columns.get("category")
        else entry
        for entry in entries
    ]


def _jsonl_rows(path: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                place = path.parent / Path(row.get("shard") or "").name
                row["file"] = str(row["file"])
            except (ValueError, KeyError, AttributeError, TypeError) as error:
                raise UsageError(f"{path}:{number} is not a JSON row that names a file") from error
            yield place, row


def _folder_rows(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield a row for each image in a folder, in order; a subfolder becomes the ``category``."""
    for file in sorted(folder.rglob("*")):
        if file.suffix.lower() not in {*FORMATS, ".bmp", ".gif", ".tif", ".tiff"}:
            continue
        relative = file.relative_to(folder)
        captions = file.with_suffix(".txt")
        text = captions.read_text(encoding="utf-8").splitlines() if captions.is_file() else []
        category = relative.parts[0] if len(relative.parts) > 1 else None
        texts = [line.strip() for line in text if line.strip()]
        row = {"file": relative.as_posix(), "text": texts, "category": category}
        yield folder, {**row, "group": texts[0].lower() if texts else row["file"]}


def read_bytes(entry: DataEntry) -> bytes:
    """Read an entry's file from its folder, zip or tar.

    Raises:
        OSError, KeyError: the file does not exist or cannot be read.
    """
    if entry.place.suffix == ".zip":
        return _open_zip(entry.place, os.getpid()).read(entry.file)
    if entry.place.suffix == ".tar":
        offset, size = _tar_index(entry.place)[entry.file]
        return os.pread(_open_file(entry.place, os.getpid()), size, offset)
    return (entry.place / entry.file).read_bytes()


@lru_cache(maxsize=256)
def _open_zip(path: Path, _process: int) -> zipfile.ZipFile:
    """Open a shard once per process, because forked processes must not share its file handle."""
    return zipfile.ZipFile(path)


@lru_cache(maxsize=256)
def _open_file(path: Path, _process: int) -> int:
    return os.open(path, os.O_RDONLY)


@lru_cache(maxsize=256)
def _tar_index(path: Path) -> dict[str, tuple[int, int]]:
    """Return a cached index of the files in a tar: name -> (offset, size) in bytes."""
    with tarfile.open(path, "r:") as archive:
        return {m.name: (m.offset_data, m.size) for m in archive if m.isreg()}


def open_entry(entry: DataEntry) -> Image.Image:
    """Return an entry's image in its original colour mode.

    Raises:
        UsageError: the image cannot be read.
    """
    try:
        image: Image.Image = Image.open(BytesIO(read_bytes(entry)))
        image.load()
    except _UNREADABLE as error:
        raise UsageError(f"{entry.name} cannot be read as an image: {error!s:.80}") from None
    return image


def decode_image(entry: DataEntry, size: int) -> Pixels | None:
    """Return an image as (size, size, 4) uint8, RGBA, or None if it cannot be read."""
    try:
        with own_filters():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(BytesIO(read_bytes(entry)))
            if image.size != (size, size):
                image.draft("RGB", (size, size))  # only JPEG supports decoding at reduced size
            rgba = _eight_bits(image).convert("RGBA")
    except (*_UNREADABLE, Image.DecompressionBombError, Image.DecompressionBombWarning):
        return None
    if rgba.size != (size, size):
        rgba = fit_image(rgba, (size, size), entry.fit)
    return np.array(rgba)


def _eight_bits(image: Image.Image) -> Image.Image:
    """Convert 16-bit, 32-bit or float greyscale to 8 bits; floats are scaled to the full range."""
    if image.mode not in ("F", "I") and not image.mode.startswith("I;16"):
        return image
    values = np.asarray(image, np.float32)
    if image.mode == "F":
        low, high = np.nanmin(values), np.nanmax(values)
        values = (values - low) * (65535 / max(float(high - low), 1e-8))
    return Image.fromarray(np.nan_to_num(values / 257).clip(0, 255).astype(np.uint8))
