"""Lookup by name, with helpful errors for unknown names."""

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Generic, TypeVar

from vqclip.errors import UsageError

_T = TypeVar("_T")


def unknown(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """Return the error for an unknown ``name``, with the closest match and all known names."""
    known = sorted(known)
    return UsageError(
        f"unknown {kind} {name!r}; {suggestion(name, known)}Known: {', '.join(known)}"
    )


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return a question about the closest match, with a space after it, or "" if none is close."""
    spelled = {entry.lower(): entry for entry in known}
    near = get_close_matches(name.lower(), spelled, n=1)
    return f"did you mean {spelled[near[0]]!r}? " if near else ""


def refuse_function(kind: str, name: str) -> None:
    """Raise UsageError for the name of a user's function, which contains a dot."""
    if "." in name.partition("(")[0]:
        raise UsageError(
            f"the {kind} {name!r} is a Python function: pass the function itself, in Python"
        )


class Registry(Mapping[str, _T], Generic[_T]):
    """A mapping in which a missing key raises a :class:`UsageError` listing the known names.

    >>> Registry("optimizer", {"adam": 1})["adam"]
    1
    """

    def __init__(self, kind: str, entries: Mapping[str, _T]) -> None:
        self.kind = kind
        self._entries = dict(entries)

    def __getitem__(self, name: str) -> _T:
        try:
            return self._entries[name]
        except KeyError:
            raise unknown(self.kind, name, self._entries) from None

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
