"""Read the tensors of a pickled checkpoint without running or importing anything it names.

A pickle is a program: it may name any function of any module and call it. Here every name it
mentions goes through :meth:`InertUnpickler.find_class`, which knows the handful of names that
tensors are made of and answers all others with empty stand-ins. No name is ever imported, so
that nothing a file says can reach code. Names that only an attack has a use for are refused.

torch's own restricted unpickler does not serve: whatever stands for foreign names, it refuses
subclasses of dict, which Lightning keeps hyper-parameters in, and pickle protocols 4 and 5; and
nothing in it bounds the work that a file asks for.

What a few bytes can make large or slow is bounded: calls and what they are given, foreign names,
lengths announced but not there, keys whose hashes collide or take forever.
"""

import _compat_pickle
import pickle
from collections.abc import Callable, Iterable, Sized
from typing import Any, ClassVar

import torch
from torch import Tensor

from vqclip.errors import CheckpointError
from vqclip.hub.checkpoints.standins import StandIn, stand_in

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

_MOST_EFFORT = 1 << 20  # calls, and entries of what they are given
_NAME_EFFORT = 1 << 7  # of making a stand-in
_MOST_BYTES = 1 << 48
_MOST_KEY = 1 << 31


# The pure-Python unpickler: the one in C lets a few bytes of pickle claim gigabytes of memory.
class InertUnpickler(pickle._Unpickler):
    """Unpickle plain containers and tensors; every foreign name becomes a stand-in.

    Args:
        file: where the pickle starts.
        load_storage: gives the memory for a persistent id of torch.

    Raises (from ``load``):
        UnsafeCheckpointError: the pickle names code to be run. Nothing ran.
        Exception: whatever a damaged pickle leads to.

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
        """Pass over the state of a foreign object; nothing else has one."""
        self.stack.pop()
        if not isinstance(self.stack[-1], StandIn | _PlainDict):
            raise pickle.UnpicklingError("state for something that has none")

    def load_reduce(self) -> None:
        """Call the little that can be called."""
        self._spend(_cost(self.stack[-1]))
        super().load_reduce()  # type: ignore[misc]

    def _instantiate(self, cls: Any, args: list[Any]) -> None:
        self._spend(_cost(args))
        super()._instantiate(cls, args)  # type: ignore[misc]

    def _spend(self, effort: int) -> None:
        self._effort += effort
        if self._effort > _MOST_EFFORT:
            raise CheckpointError("it asks for far more than any model needs; it was refused")

    def load_setitem(self) -> None:
        """Put one entry into a dict."""
        value, key = self.stack.pop(), self.stack.pop()
        _put(self.stack[-1], (key, value))

    def load_setitems(self) -> None:
        """Put entries into a dict."""
        items = self.pop_mark()
        _put(self.stack[-1], *zip(items[::2], items[1::2], strict=True))

    def load_dict(self) -> None:
        """Make a dict, as the oldest pickles do."""
        items = self.pop_mark()
        self.append(_put({}, *zip(items[::2], items[1::2], strict=True)))

    def load_set(self) -> None:
        """Leave out a set: no weights are in one."""
        self.append(StandIn())

    def load_frozenset(self) -> None:
        """Leave out a set, with its members."""
        self.pop_mark()
        self.append(StandIn())

    def load_bytearray8(self) -> None:
        """Take only as many bytes as there are."""
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
        """Find the memory of a tensor."""
        return self._load_storage(pid)

    def find_class(self, module: str, name: str) -> Any:
        """Answer a name with what tensors are made of, or with a stand-in; import nothing."""
        module, name = _compat_pickle.NAME_MAPPING.get((module, name), (module, name))
        module = _compat_pickle.IMPORT_MAPPING.get(module, module)  # as Python 2 called it
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
    """Of a call: one, and one for each entry of what it is given."""
    return 1 + sum(len(arg) for arg in args if isinstance(arg, Sized))


def _rebuild_tensor(storage: Storage, offset: int, size: Any, stride: Any, *_: Any) -> Tensor:
    """A view into a storage, checked against its end."""
    if not isinstance(storage, tuple):
        raise CheckpointError("its tensors were pickled without torch.save; save them with it")
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
    """A tensor with Python attributes: only the tensor matters."""
    if rebuild not in (_rebuild_tensor, _rebuild_parameter):
        raise ValueError("a tensor of unknown make")
    return rebuild(*args)


class _PlainDict(dict[Any, Any]):
    """An OrderedDict without its attributes (state dicts carry version numbers as such)."""

    def __init__(self, pairs: Any = ()) -> None:
        super().__init__()
        _put(self, *(pairs.items() if isinstance(pairs, dict) else pairs))


def _put(target: Any, *pairs: tuple[Any, Any]) -> Any:
    """Enter what has a plain key. Others are no weights, and hashing them could take forever."""
    for key, value in pairs:
        if isinstance(key, str | type) or (isinstance(key, int) and abs(key) < _MOST_KEY):
            target[key] = value
    return target


# All that a name in a file can ever lead to.
_REAL: dict[str, Any] = {
    "collections.OrderedDict": _PlainDict,
    "torch._utils._rebuild_tensor": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils._rebuild_parameter": _rebuild_parameter,
    "torch._utils._rebuild_parameter_with_state": _rebuild_parameter,
    "torch._tensor._rebuild_from_type_v2": _rebuild_from_type,
}
