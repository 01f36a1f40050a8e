"""Conversion of settings to the types in their annotations."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING
from functools import cache
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from vqclip.errors import UsageError
from vqclip.registry import unknown

_WORDS = {
    "Callable": "a function",
    "Mapping": "a mapping",
    "NoneType": "None",
    "bool": "true or false",
    "float": "a number",
    "int": "a whole number",
    "str": "text",
}


class Typed:
    """A frozen dataclass that converts its fields to the types in their annotations.

    Whole numbers, numbers and lists become int, float and tuple, whatever their class.

    Raises:
        UsageError: a value has another type.
    """

    def __post_init__(self) -> None:
        kind: type = type(self)
        for name, hint in _hints(kind).items():
            value = getattr(self, name)
            if value is not getattr(kind, name, MISSING):  # a default has the right type
                object.__setattr__(self, name, converted(hint, value, name))


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _unread(hint: Any, value: Any, where: str) -> Any:
    return value


def converted(
    hint: Any, value: Any, where: str, read: Callable[[Any, Any, str], Any] = _unread
) -> Any:
    """Return ``value`` converted to the type ``hint``.

    where: the setting's name for messages.
    read: converts a value (hint, value, where) from a file before its type is checked.

    Raises:
        UsageError: the value has another type.
    """
    if type(value) is hint:
        return value
    value = read(hint, value, where)
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        return _any_of(hint, value, where, read)
    if origin is tuple:
        return _tuple(hint, value, where, read)
    if origin is Literal:
        if value not in get_args(hint):
            raise unknown(where, str(value), map(str, get_args(hint)))
        return value
    return _plain(hint, value, where)


def _any_of(hint: Any, value: Any, where: str, read: Callable[..., Any]) -> Any:
    if value is None and NoneType in get_args(hint):
        return None
    choices = [choice for choice in get_args(hint) if choice is not NoneType]
    if len(choices) == 1:  # its message is more precise
        return converted(choices[0], value, where, read)
    for choice in choices:
        try:
            return converted(choice, value, where, read)
        except UsageError:
            continue
    raise _wrong(hint, value, where)


def _tuple(hint: Any, value: Any, where: str, read: Callable[..., Any]) -> tuple[Any, ...]:
    inner = get_args(hint)
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise _wrong(hint, value, where)
    values = tuple(value)
    inner = inner[:1] * len(values) if inner[-1] is Ellipsis else inner
    if len(values) != len(inner):
        raise _wrong(hint, value, where)
    pairs = enumerate(zip(inner, values, strict=True))
    return tuple(converted(one, entry, f"{where}.{i}", read) for i, (one, entry) in pairs)


def _plain(hint: Any, value: Any, where: str) -> Any:
    number = isinstance(value, Real) and not isinstance(value, bool)
    if hint is float and number:
        try:
            return float(value)
        except OverflowError:
            raise _wrong(hint, value, where) from None
    if hint is int and number and isinstance(value, Integral):
        return int(value)
    if hint is Any or (hint is not int and isinstance(value, get_origin(hint) or hint)):
        return value
    raise _wrong(hint, value, where)


def _wrong(hint: Any, value: Any, where: str) -> UsageError:
    return UsageError(f"{where} must be {_words(hint)}, not {value!r:.60}")


def _words(hint: Any) -> str:
    """Return the words for a type in messages, such as ``a whole number``.

    >>> _words(tuple[int, int] | None)
    '2 values or None'
    """
    inner = get_args(hint)
    if get_origin(hint) in (Union, UnionType):
        return " or ".join(map(_words, inner))
    if get_origin(hint) is tuple:
        return "a list" if inner[-1] is Ellipsis else f"{len(inner)} values"
    name = (get_origin(hint) or hint).__name__
    return _WORDS.get(name, f"a {name}")
