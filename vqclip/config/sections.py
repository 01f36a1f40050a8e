"""Sections of a YAML file as frozen dataclasses, with every key and type checked."""

from collections.abc import Mapping
from dataclasses import MISSING, fields
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from vqclip.errors import UsageError
from vqclip.registry import unknown

_T = TypeVar("_T")


def parse_section(cls: type[_T], values: Any, where: str) -> _T:
    """Return an instance of the frozen dataclass ``cls`` for a section of the settings.

    Integers are accepted for floats, lists for tuples, and mappings for nested dataclasses; strings
    such as ``1e-4``, which YAML reads as text, are accepted for numbers.

    Raises:
        UsageError: a key is unknown (the message suggests the nearest) or missing, or a type is
            wrong.
    """
    if not isinstance(values, Mapping):
        raise UsageError(f"{where or 'the settings'} must be a mapping, not {values!r:.60}")
    hints = get_type_hints(cls)
    known = {entry.name: entry for entry in fields(cls)}  # type: ignore[arg-type]
    prefix = f"{where}." if where else ""
    for name in values:
        if name not in known:
            raise unknown(f"setting in {where}" if where else "setting", str(name), known)
    for name, entry in known.items():
        needed = entry.default is MISSING and entry.default_factory is MISSING
        if needed and name not in values:
            raise UsageError(f"the settings lack {prefix}{name}")
    return cls(**{name: _value(hints[name], values[name], f"{prefix}{name}") for name in values})


def _value(hint: Any, value: Any, where: str) -> Any:
    """Return ``value`` converted to the type ``hint``."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, UnionType):
        return _any_of(inner, value, where)
    if origin is Literal:
        if value not in inner:
            raise unknown(f"value of {where}", str(value), map(str, inner))
        return value
    if origin is tuple:
        return _tuple(inner, value, where)
    if isinstance(hint, type) and hasattr(hint, "__dataclass_fields__"):
        return value if isinstance(value, hint) else parse_section(hint, value, where)
    return _plain(origin or hint, value, where)


def _any_of(hints: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and NoneType in hints:
        return None
    choices = [hint for hint in hints if hint is not NoneType]
    for hint in choices[:-1]:
        try:
            return _value(hint, value, where)
        except UsageError:
            continue
    return _value(choices[-1], value, where)


def _tuple(hints: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise UsageError(f"{where} must be a list, not {value!r:.60}")
    if len(hints) == 2 and hints[1] is Ellipsis:
        return tuple(_value(hints[0], entry, f"{where}.{i}") for i, entry in enumerate(value))
    if len(value) != len(hints):
        raise UsageError(f"{where} must be {len(hints)} values, not {value!r:.60}")
    pairs = zip(hints, value, strict=True)
    return tuple(_value(hint, entry, f"{where}.{i}") for i, (hint, entry) in enumerate(pairs))


def _plain(kind: Any, value: Any, where: str) -> Any:
    """Return a value of a plain type; numbers may be strings, as YAML reads ``1e-4``."""
    if kind is float and isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            return float(value)
        except ValueError:
            pass
    fits = isinstance(value, kind) and (kind is not int or not isinstance(value, bool))
    if not fits:
        name = {
            "int": "a whole number",
            "float": "a number",
            "str": "text",
            "bool": "true or false",
        }
        wanted = name.get(kind.__name__, f"a {kind.__name__.lower()}")
        raise UsageError(f"{where} must be {wanted}, not {value!r:.60}")
    return value
