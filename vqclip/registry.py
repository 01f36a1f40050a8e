"""Lookup by name, with helpful errors for unknown names."""

import runpy
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from vqclip.errors import UsageError, one_line

_T = TypeVar("_T")


def unknown(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """Return the error for an unknown ``name``, with the closest match and all known names."""
    known = sorted(known)
    advice = with_suggestion(name, known, f"known: {', '.join(known)}")
    return UsageError(f"unknown {kind} {name!r}; {advice}")


def with_suggestion(name: str, known: Iterable[str], advice: str) -> str:
    """Return ``advice``, after "did you mean 'NAME'?" with the closest match if one is close.

    >>> with_suggestion("foo", ["photo"], "known: photo")
    'known: photo'
    >>> with_suggestion("photos", ["photo"], "known: photo")
    "did you mean 'photo'? Known: photo"
    """
    spelled = {entry.lower(): entry for entry in known}
    near = get_close_matches(name.lower(), spelled, n=1)
    if not near:
        return advice
    return f"did you mean {spelled[near[0]]!r}? {advice[:1].upper()}{advice[1:]}"


_FUNCTIONS: dict[str, Callable[..., Any]] = {}  # by name, registered by load_functions


def load_functions(path: Path) -> None:
    """Run a Python file and register its functions, which recorded settings refer to by name.

    Raises:
        UsageError: the file does not exist or raises an exception.
    """
    if not path.is_file():  # reading from a pipe could block forever
        raise UsageError(f"no such Python file: {path}")
    try:
        names = runpy.run_path(str(path), run_name=path.stem)
    except Exception as error:
        raise UsageError(f"cannot run {path}: {one_line(error)}") from error
    _FUNCTIONS.update({name: value for name, value in names.items() if callable(value)})


def own_function(kind: str, name: str) -> Any:
    """Return the user's function for a dotted name, or None for any other name.

    Raises:
        UsageError: no file with this function has been loaded, or the function has no name of its
            own, like a lambda.
    """
    _, dot, function = name.partition("(")[0].rpartition(".")
    if not dot:
        return None
    if function == "<lambda>" or name.startswith("functools.partial"):
        raise UsageError(
            f"the {kind} {name!r} cannot be found again, because it has no name of its own: "
            "generate the image with a function defined by def"
        )
    if function not in _FUNCTIONS:
        raise UsageError(
            f"the {kind} {name!r} is a Python function: pass the function itself, or its file as "
            "`python`"
        )
    return _FUNCTIONS[function]


class Registry(dict[str, _T]):
    """A dict in which a missing key raises a :class:`UsageError` listing the known names.

    >>> Registry("optimizer", {"adam": 1})["adam"]
    1
    """

    def __init__(self, kind: str, entries: Mapping[str, _T]) -> None:
        super().__init__(entries)
        self.kind = kind

    def __missing__(self, name: str) -> _T:
        raise unknown(self.kind, name, self)
