"""The two file formats of ``torch.save``: zip, and the older sequence of pickles."""

import io
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import torch

from vqclip.errors import CheckpointError
from vqclip.hub.model_files.unpickling import InertUnpickler, LoadStorage, Storage

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LOCAL_HEADER = 30  # bytes in a zip member's own header, before its name
_ALIGNMENT = 64
# Several times the size needed by the largest published model with its optimizer.
_MOST_PICKLE = _MOST_DIRECTORY = 1 << 22
_TOO_LARGE = "its description is larger than any model's, so it was refused"


def read_zip(path: Path) -> Any:
    """Return the content of a ``torch.save`` zip file, with memory-mapped tensors."""
    with path.open("rb") as file, _archive(file) as archive:
        members = {info.filename: info for info in archive.infolist()}
        root = _root(members)
        if members.get(f"{root}byteorder") and archive.read(f"{root}byteorder") == b"big":
            raise CheckpointError("it was written on a big-endian machine; convert it there")
        memory: Any = torch.UntypedStorage.from_file(str(path), False, path.stat().st_size)
        cache: dict[str, torch.UntypedStorage] = {}

        def load_storage(pid: Any) -> Storage:
            dtype, key, count = _storage_id(pid)
            if key not in cache:
                cache[key] = _member(memory, file, members[f"{root}data/{key}"])
            if cache[key].nbytes() < count * dtype.itemsize:
                raise ValueError("a storage is shorter than declared")
            return cache[key], dtype

        content = io.BytesIO(_data_pickle(archive, members[f"{root}data.pkl"]))
        return InertUnpickler(content, load_storage).load()


def _archive(file: BinaryIO) -> zipfile.ZipFile:
    """Return the archive, or raise CheckpointError if its directory is too large."""
    end = zipfile._EndRecData(file)  # type: ignore[attr-defined]
    if end and end[zipfile._ECD_SIZE] > _MOST_DIRECTORY:  # type: ignore[attr-defined]
        raise CheckpointError(_TOO_LARGE)
    return zipfile.ZipFile(file)


def _root(members: dict[str, zipfile.ZipInfo]) -> str:
    """Return the archive's top-level folder, with a trailing slash."""
    if any(name.endswith("/constants.pkl") for name in members):
        raise CheckpointError("it is a TorchScript program, not weights; export a state dict")
    if astray := next((name for name in members if ".." in name.split("/")), None):
        raise CheckpointError(
            f"its part {astray!r:.100} points outside the file, so it was refused"
        )
    for name in members:
        if name.count("/") == 1 and name.endswith("/data.pkl"):
            return name.removesuffix("data.pkl")
    names = ", ".join(list(members)[:3]) or "nothing"
    raise CheckpointError(
        f"it is a zip archive that contains {names:.200}; unpack it and use one of its files"
    )


def _data_pickle(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    if info.file_size > _MOST_PICKLE:
        raise CheckpointError(_TOO_LARGE)
    return archive.read(info)


def _member(memory: Any, file: BinaryIO, info: zipfile.ZipInfo) -> torch.UntypedStorage:
    """Return the bytes of an uncompressed zip member in the mapped file."""
    if info.compress_type != zipfile.ZIP_STORED:
        raise CheckpointError("its weights are compressed; save them again with torch.save")
    file.seek(info.header_offset)
    header = file.read(_LOCAL_HEADER)
    name_length, extra_length = struct.unpack("<HH", header[26:30])
    start = info.header_offset + _LOCAL_HEADER + name_length + extra_length
    if start + info.file_size > memory.nbytes():
        raise ValueError("a zip member extends beyond the end of the file")
    part = memory[start : start + info.file_size]
    aligned: torch.UntypedStorage = part if start % _ALIGNMENT == 0 else part.clone()
    return aligned


def read_legacy(path: Path) -> Any:
    """Return the content of a file from torch < 1.6, or the first object in any other pickle."""
    room = path.stat().st_size
    storages: dict[str, torch.UntypedStorage] = {}

    def load_storage(pid: Any) -> Storage:
        """Return memory to be filled later, because the bytes follow the pickle."""
        nonlocal room
        dtype, key, count = _storage_id(pid)
        if key not in storages:
            room -= count * dtype.itemsize
            if room < 0:
                raise ValueError("its tensors are longer than the file")
            storages[key] = torch.empty(count, dtype=dtype).untyped_storage()
        return storages[key], dtype

    with path.open("rb") as file:
        first = _next(file, load_storage)
        if first != _LEGACY_MAGIC:
            return first
        for _ in ("protocol version", "system"):
            _next(file, load_storage)
        result = _next(file, load_storage)
        for key in _next(file, load_storage):
            _fill(storages[key], file)
    return result


def _next(file: BinaryIO, load_storage: LoadStorage) -> Any:
    """Return the object in the pickle at the current file position, and move past the pickle."""
    start = file.tell()
    content = io.BytesIO(file.read(_MOST_PICKLE))
    try:
        value = InertUnpickler(content, load_storage).load()
    except (EOFError, pickle.UnpicklingError):
        if file.read(1):
            raise CheckpointError(_TOO_LARGE) from None
        raise
    file.seek(start + content.tell())
    return value


def _fill(storage: torch.UntypedStorage, file: BinaryIO) -> None:
    """Fill a storage with bytes from the file, skipping the element count before them."""
    file.read(8)
    data = file.read(storage.nbytes())
    if len(data) != storage.nbytes():
        raise EOFError("the file ends within a tensor")
    if data:
        storage.copy_(torch.frombuffer(bytearray(data), dtype=torch.uint8).untyped_storage())


def _storage_id(pid: Any) -> tuple[torch.dtype, str, int]:
    """Parse torch's persistent id ("storage", type, key, device, count[, view])."""
    kind, dtype, key, _, count, *view = pid
    if kind != "storage" or not isinstance(dtype, torch.dtype) or (view and view[0] is not None):
        raise pickle.UnpicklingError("an unknown kind of tensor")
    if not isinstance(key, str) or not isinstance(count, int) or count < 0:
        raise pickle.UnpicklingError("a tensor without data")
    return dtype, key, count
