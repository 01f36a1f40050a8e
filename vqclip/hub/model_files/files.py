"""Weights in any checkpoint file, as a dict of tensors."""

import pickle
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from vqclip.errors import CheckpointError, UsageError, one_line
from vqclip.files.filetypes import why_no_weights
from vqclip.hub.model_files.standins import StandIn
from vqclip.hub.model_files.torchfiles import read_legacy, read_zip

StateDict = dict[str, Tensor]
_MOST_HEADER = 1 << 23  # maximum size of a safetensors header in bytes
_SPARE = 1 << 24  # bytes that weights may claim beyond four times the file's size


class FileContent(NamedTuple):
    """The content of a checkpoint.

    state: weights by name.
    rest: size in bytes of the tensors in each of the other parts, by name.
    """

    state: StateDict
    rest: Mapping[str, int]


# Errors that a damaged file can cause. Any other error is a bug.
_DAMAGE = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    SafetensorError,
    struct.error,
    ArithmeticError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,  # includes NotImplementedError and RecursionError
    TypeError,
    ValueError,
)


def read_state_dict(path: Path | str) -> StateDict:
    """Read the weights in a checkpoint by name; see :func:`read_checkpoint`."""
    return read_checkpoint(path).state


def read_checkpoint(path: Path | str) -> FileContent:
    """Read the weights in a checkpoint by name, and the sizes of its other parts.

    The checkpoint may be a plain state dict or a Lightning checkpoint with any additional content,
    saved as safetensors or in either format of ``torch.save``. The format is detected from the
    content, not the file extension. The weights are memory-mapped, except in the older format of
    ``torch.save``. Nothing in the file is executed or imported.

    Raises:
        UsageError: the file does not exist.
        UnsafeCheckpointError: the file would run code; nothing was run.
        CheckpointError: the file is damaged or is not a checkpoint.
    """
    path = Path(path)
    head = _head(path)
    try:
        return _checked(_checkpoint(_reader(path, head)(path)), path)
    except CheckpointError as error:
        raise type(error)(f"cannot load {path}: {error}") from None
    except _DAMAGE as error:
        reason = one_line(error, 150)
        raise CheckpointError(
            f"cannot load {path}: it is not a checkpoint, or it is damaged ({reason}); "
            "download it again"
        ) from None


def recognise(path: Path) -> None:
    """Check that a file starts like a checkpoint and, if it is a zip file, is not truncated.

    Raises:
        UsageError: the file does not exist.
        CheckpointError: the file is not a checkpoint, or is truncated.
    """
    try:
        _reader(path, _head(path))
    except CheckpointError as error:
        raise CheckpointError(f"{path} is not a checkpoint: {error}") from None


def _head(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise UsageError(f"{path} is a folder, but a checkpoint file was expected")
        if path.exists() and not path.is_file():  # reading from a pipe could block forever
            raise UsageError(f"{path} is a device or a pipe, not a file; use a checkpoint")
        with path.open("rb") as file:
            return file.read(512)
    except (OSError, ValueError) as error:  # a name with a null byte raises ValueError
        if isinstance(error, UsageError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"cannot read the checkpoint {str(path)!r:.200}: {reason}") from None


def _reader(path: Path, head: bytes) -> Callable[[Path], Any]:
    """Return the reader for a file, chosen by its first bytes."""
    if reason := why_no_weights(head):
        raise CheckpointError(reason)
    if head.startswith(b"PK"):
        if not zipfile.is_zipfile(path):
            raise CheckpointError("the file is truncated (its zip directory is missing)")
        return read_zip
    if _is_safetensors(path, head):
        return _read_safetensors
    if head[257:262] == b"ustar" or head.startswith(b"\x1f\x8b"):
        raise CheckpointError("it is a tar or gzip archive; unpack it and use the weights inside")
    if head[:1] not in b"\x80(}]c":
        raise CheckpointError("it is not a checkpoint (no torch, safetensors or pickle file)")
    return read_legacy


def _is_safetensors(path: Path, head: bytes) -> bool:
    return head[8:9] == b"{" or (path.suffix == ".safetensors" and len(head) < 9)


def _read_safetensors(path: Path) -> StateDict:
    with path.open("rb") as file:
        length = file.read(8)  # length of the header, little-endian
    if int.from_bytes(length, "little") > _MOST_HEADER and path.stat().st_size > _MOST_HEADER:
        raise CheckpointError("its header is larger than any model's, so it was refused")
    if len(length) < 8 or 8 + int.from_bytes(length, "little") > path.stat().st_size:
        raise CheckpointError("the file is truncated (its header declares more data)")
    try:
        return load_file(path)
    except SafetensorError as error:
        if "incompletebuffer" in "".join(str(error).split()).lower():
            raise CheckpointError("the file is truncated (weights are missing)") from None
        raise


def _checkpoint(content: Any) -> FileContent:
    """Split a loaded file into the tensors of its state dict and the sizes of its other parts."""
    if isinstance(content, StandIn):
        name = f"{type(content).__module__}.{type(content).__name__}"
        raise CheckpointError(
            f"it contains a whole pickled object ({name:.100}), not weights; "
            "save that object's state_dict() instead"
        )
    rest: dict[str, int] = {}
    for key in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            rest |= {str(k): _tensor_bytes(v) for k, v in content.items() if k != key}
            content = content[key]
    if not isinstance(content, Mapping):
        raise CheckpointError(f"its content is of type {type(content).__name__}, not named weights")
    tensors = {key: value for key, value in content.items() if isinstance(value, Tensor)}
    for key, value in content.items():
        if isinstance(value, StandIn) and type(value).__name__.startswith("_rebuild_"):
            raise CheckpointError(
                f"the weights {key!s:.60} are sparse, quantized or not numeric "
                f"({type(value).__name__:.60}); save them as plain tensors"
            )
    if not tensors or not all(isinstance(key, str) for key in tensors):
        raise CheckpointError("it contains no named weights")
    return FileContent(tensors, rest)


def _checked(checkpoint: FileContent, path: Path) -> FileContent:
    """Check that weights are not far larger than their file, allowing for shared weights."""
    claimed = sum(value.nbytes for value in checkpoint.state.values())
    if claimed > _SPARE + 4 * path.stat().st_size:
        raise CheckpointError(
            f"its weights claim {claimed / 1e9:,.1f} GB, far more than the file contains, so it "
            "was refused"
        )
    return checkpoint


def _tensor_bytes(content: Any) -> int:
    """Return the size in bytes of all tensors in ``content``, counting each object once."""
    total, seen, waiting = 0, set[int](), [content]
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, Tensor):
            total += value.nbytes
        elif isinstance(value, Mapping | list | tuple):
            waiting += value.values() if isinstance(value, Mapping) else value
    return total
