"""Named lookup: one dict per extension point, with a helpful answer to an unknown name."""

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Generic, TypeVar

from vqclip.errors import UsageError

_T = TypeVar("_T")


def unknown(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """Return the error for an unknown ``name``: the nearest match first, then all known names."""
    known = sorted(known)
    spelled = {entry.lower(): entry for entry in known}
    near = get_close_matches(name.lower(), spelled, n=1)
    hint = f"did you mean {spelled[near[0]]!r}? " if near else ""
    return UsageError(f"unknown {kind} {name!r}; {hint}Known: {', '.join(known)}")


def own_function(kind: str, name: str) -> str:
    """Return a name, unless it is that of a function of the user's own, which has a dot.

    Raises:
        UsageError: it is one, as images record it.
    """
    if "." in name.partition("(")[0]:
        raise UsageError(f"the {kind} {name!r} is a Python function: generate this image in Python")
    return name


class Registry(Mapping[str, _T], Generic[_T]):
    """A mapping whose missing keys raise :class:`UsageError` listing the known names.

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
