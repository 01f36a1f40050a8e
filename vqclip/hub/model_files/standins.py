"""Stand-ins for a pickle's foreign names, none of which is imported."""

import re
import sys
from typing import Any, NoReturn

from vqclip.errors import UnsafeCheckpointError

# Plain data from the standard library that training programs leave in their checkpoints.
_BUILTIN_DATA = {
    *("bool", "bytearray", "bytes", "complex", "float", "int", "range", "slice", "str"),
    *("dict", "frozenset", "list", "set", "tuple", "object", "type"),
    *("Ellipsis", "NotImplemented", "NoneType"),
}
_STANDARD_DATA = {
    "builtins": _BUILTIN_DATA,
    "_codecs": {"encode"},
    "argparse": {"Namespace"},
    "collections": {"OrderedDict", "defaultdict", "deque", "Counter"},
    "copyreg": {"_reconstructor"},
    "datetime": {"date", "datetime", "time", "timedelta", "timezone"},
    "decimal": {"Decimal"},
    "fractions": {"Fraction"},
    "functools": {"partial"},
    "random": {"Random"},
    "types": {"SimpleNamespace"},
    "uuid": {"UUID"},
}
_STANDARD_MODULES = sys.stdlib_module_names

# Classes, recognised by naming convention, and the few functions that numpy and torch use to
# describe their data.
_CLASS_NAME = re.compile(r"_*[A-Z]\w*")
_DATA_FUNCTIONS = re.compile(
    r"numpy\.(?:dtype|ndarray|bool_?|str_|bytes_|u?int\d+|float\d+|complex\d+)"
    r"|numpy\.(?:_?core\.(?:multiarray|numeric)\.(?:scalar|_reconstruct|_frombuffer))"
    r"|torch\.(?:device|u?int\d+|float\d+|bfloat16|bool|complex\d+)"
    r"|numpy\.random\.(?:_pickle|bit_generator)\.__\w+"
    r"|torch\.serialization\._get_layout"
    r"|torch\._utils\._rebuild_\w+|torch\._tensor\._rebuild_\w+|torch\.storage\._load_from_bytes"
)


class StandIn(dict[Any, Any]):
    """An empty object that replaces a foreign object and discards all arguments and state."""

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__()

    def __setitem__(self, *_: Any) -> None: ...

    def __call__(self, *_: Any, **__: Any) -> NoReturn:
        """Raise UnsafeCheckpointError, because a file must not call objects that it created."""
        _refuse(f"{type(self).__module__}.{type(self).__name__}")

    def append(self, _: Any) -> None:
        """Accept and discard a list item."""

    def extend(self, _: Any) -> None:
        """Accept and discard list items."""

    def add(self, _: Any) -> None:
        """Accept and discard a set item."""

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:  # type: ignore[override]  # foreign objects may be keys
        return id(self)


def stand_in(module: str, name: str) -> type[StandIn]:
    """Return an empty class for a foreign name.

    If the name is that of a function, calling the class raises UnsafeCheckpointError.
    """
    full_name = f"{module}.{name}"
    if module.split(".")[0] in _STANDARD_MODULES and not _is_standard_data(module, name):
        _refuse(full_name)
    if _is_data(module, name):
        return type(name, (StandIn,), {"__module__": module})

    def refuse_call(*_: Any, **__: Any) -> NoReturn:
        _refuse(full_name)

    # a foreign function may be mentioned (as a setting, for example), but not called
    return type(name, (StandIn,), {"__module__": module, "__new__": refuse_call})


def _is_standard_data(module: str, name: str) -> bool:
    if module.split(".")[0] in ("typing", "pathlib"):
        return bool(_CLASS_NAME.fullmatch(name))
    return name in _STANDARD_DATA.get(module, ())


def _is_data(module: str, name: str) -> bool:
    return (
        module.split(".")[0] in _STANDARD_MODULES
        or bool(_CLASS_NAME.fullmatch(name.rpartition(".")[2]))
        or bool(_DATA_FUNCTIONS.fullmatch(f"{module}.{name}"))
    )


def _refuse(full_name: str) -> NoReturn:
    raise UnsafeCheckpointError(
        f"loading it would run {full_name!r:.100}, so it was not loaded: do not trust this file, "
        "and get the weights elsewhere"
    )
