"""Reading pickled tensors without running or importing code.

A pickle is a program: it may name any function in any module and call it. Here, every name is
passed to :meth:`InertUnpickler.find_class`, which accepts the few names that tensors need and
replaces all others with empty stand-ins. No name is ever imported, so no file can run code.
Names that only an attack would use are rejected.

torch's own restricted unpickler does not suffice. Even with stand-ins for foreign names, it rejects
pickle protocols 4 and 5, and subclasses of dict, in which Lightning keeps hyperparameters. It also
does not limit the work that a file can cause.

This module limits everything that a few bytes could make large or slow: calls and their arguments,
foreign names, declared lengths beyond the end of the file, and keys whose hashes collide or take
too long to compute.
"""

import _compat_pickle
import pickle
from collections.abc import Callable, Iterable, Sized
from typing import Any, ClassVar

import torch
from torch import Tensor

from vqclip.errors import CheckpointError
from vqclip.hub.model_files.standins import StandIn, stand_in

Storage = tuple[torch.UntypedStorage, torch.dtype]
LoadStorage = Callable[[Any], Storage]

_STORAGE_DTYPES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "UntypedStorage": torch.uint8,
}

_MOST_EFFORT = 1 << 20  # number of calls, plus entries in their arguments
_NAME_EFFORT = 1 << 7  # effort charged for creating a stand-in
_MOST_BYTES = 1 << 48
_MOST_KEY = 1 << 31


# This is the pure-Python unpickler; in the C one, a few bytes can claim gigabytes of memory.
class InertUnpickler(pickle._Unpickler):
    """Unpickler of plain containers and tensors; every foreign name becomes a stand-in.

    Args:
        file: a file positioned at the start of the pickle.
        load_storage: function that returns the memory for one of torch's persistent ids.

    Raises (from ``load``):
        UnsafeCheckpointError: the pickle would run code; nothing was run.
        Exception: a damaged pickle can cause any error.
    """

    stack: list[Any]
    read: Callable[[int], bytes]
    append: Callable[[Any], None]
    pop_mark: Callable[[], list[Any]]

    def __init__(self, file: Any, load_storage: LoadStorage) -> None:
        super().__init__(file, encoding="utf-8")
        self._load_storage = load_storage
        self._stand_ins: dict[str, Any] = {}
        self._effort = 0

    def load_build(self) -> None:
        """Skip the state of a foreign object or dict, and reject the state of any other object."""
        self.stack.pop()
        if not isinstance(self.stack[-1], StandIn | _PlainDict):
            raise pickle.UnpicklingError("it sets the state of an object that has none")

    def load_reduce(self) -> None:
        """Call one of the few permitted functions."""
        self._spend(_cost(self.stack[-1]))
        super().load_reduce()  # type: ignore[misc]

    def _instantiate(self, cls: Any, args: list[Any]) -> None:
        self._spend(_cost(args))
        super()._instantiate(cls, args)  # type: ignore[misc]

    def _spend(self, effort: int) -> None:
        self._effort += effort
        if self._effort > _MOST_EFFORT:
            raise CheckpointError(
                "it would build far more objects than any model needs, so it was refused"
            )

    def load_setitem(self) -> None:
        """Put one entry into a dict."""
        value, key = self.stack.pop(), self.stack.pop()
        _put(self.stack[-1], (key, value))

    def load_setitems(self) -> None:
        """Put entries into a dict."""
        items = self.pop_mark()
        _put(self.stack[-1], *zip(items[::2], items[1::2], strict=True))

    def load_dict(self) -> None:
        """Build a dict, as the oldest pickles do."""
        items = self.pop_mark()
        self.append(_put({}, *zip(items[::2], items[1::2], strict=True)))

    def load_set(self) -> None:
        """Replace a set, which never contains weights, with a stand-in."""
        self.append(StandIn())

    def load_frozenset(self) -> None:
        """Replace a frozen set and its members with a stand-in."""
        self.pop_mark()
        self.append(StandIn())

    def load_bytearray8(self) -> None:
        """Read a bytearray, but no more bytes than the file contains."""
        self.append(self.read(int.from_bytes(self.read(8), "little")))

    dispatch: ClassVar[dict[int, Any]] = {
        **pickle._Unpickler.dispatch,
        pickle.BUILD[0]: load_build,
        pickle.REDUCE[0]: load_reduce,
        pickle.SETITEM[0]: load_setitem,
        pickle.SETITEMS[0]: load_setitems,
        pickle.DICT[0]: load_dict,
        pickle.EMPTY_SET[0]: load_set,
        pickle.FROZENSET[0]: load_frozenset,
        pickle.BYTEARRAY8[0]: load_bytearray8,
    }

    def persistent_load(self, pid: Any) -> Storage:
        """Return the memory for a tensor."""
        return self._load_storage(pid)

    def find_class(self, module: str, name: str) -> Any:
        """Return the permitted object called ``name``, or a stand-in; nothing is imported."""
        module, name = _compat_pickle.NAME_MAPPING.get((module, name), (module, name))
        module = _compat_pickle.IMPORT_MAPPING.get(module, module)  # the name in Python 2
        full_name = f"{module}.{name}"
        if full_name in _REAL:
            return _REAL[full_name]
        if module in ("torch", "torch.storage") and name in _STORAGE_DTYPES:
            return _STORAGE_DTYPES[name]
        if full_name not in self._stand_ins:
            self._spend(_NAME_EFFORT)
            self._stand_ins[full_name] = stand_in(module, name)
        return self._stand_ins[full_name]


def _cost(args: Iterable[Any]) -> int:
    """Return the cost of a call: one, plus one per entry in its arguments."""
    return 1 + sum(len(arg) for arg in args if isinstance(arg, Sized))


def _rebuild_tensor(storage: Storage, offset: int, size: Any, stride: Any, *_: Any) -> Tensor:
    """Return a view of a storage, after checking that it lies within the storage."""
    if not isinstance(storage, tuple):
        raise CheckpointError(
            "its tensors were pickled without torch.save; save them with torch.save"
        )
    memory, dtype = storage
    if not all(0 <= number < _MOST_BYTES for number in (offset, *size, *stride)):
        raise ValueError("a tensor reaches beyond its data")
    extent = 1 + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    needed = 0 if 0 in size else (offset + extent) * dtype.itemsize
    if needed > memory.nbytes():
        raise ValueError("a tensor reaches beyond its data")
    return torch.empty(0, dtype=dtype).set_(memory, offset, tuple(size), tuple(stride))


def _rebuild_parameter(data: Tensor, *_: Any) -> Tensor:
    return data


def _rebuild_from_type(rebuild: Any, _: Any, args: Any, __: Any) -> Any:
    """Rebuild a tensor without its Python attributes."""
    if rebuild not in (_rebuild_tensor, _rebuild_parameter):
        raise ValueError("an unknown kind of tensor")
    return rebuild(*args)


class _PlainDict(dict[Any, Any]):
    """An OrderedDict that drops attributes, such as a state dict's version numbers."""

    def __init__(self, pairs: Any = ()) -> None:
        super().__init__()
        _put(self, *(pairs.items() if isinstance(pairs, dict) else pairs))


def _put(target: Any, *pairs: tuple[Any, Any]) -> Any:
    """Store the entries with plain keys, and drop the others.

    Other keys cannot name weights, and hashing them may never finish.
    """
    for key, value in pairs:
        if isinstance(key, str | type) or (isinstance(key, int) and abs(key) < _MOST_KEY):
            target[key] = value
    return target


# The only objects that a name in a file can resolve to.
_REAL: dict[str, Any] = {
    "collections.OrderedDict": _PlainDict,
    "torch._utils._rebuild_tensor": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils._rebuild_parameter": _rebuild_parameter,
    "torch._utils._rebuild_parameter_with_state": _rebuild_parameter,
    "torch._tensor._rebuild_from_type_v2": _rebuild_from_type,
}
