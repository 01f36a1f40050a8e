"""What an examination finds, and how it survives what it finds."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from vqclip.errors import one_line

FindingState = Literal["ok", "note", "problem"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: of the thing.
        state: a note is something to know, a problem something that does not work.
        about: what was found, in a line.
        fix: what to do about it.

    """

    name: str
    state: FindingState
    about: str
    fix: str = ""


Check = Callable[[], Iterator[Finding]]


def survived(name: str, check: Check) -> Iterator[Finding]:
    """Yield what ``check`` finds; whatever it raises is a problem like any other."""
    try:
        yield from check()
    except Exception as error:
        yield Finding(name, "problem", one_line(error), "install vqclip again, or report this")


def probed(name: str, about: str, fix: str, trial: Callable[[], object]) -> Finding:
    """Return whether ``trial`` works: ``about``, or why it does not and the ``fix``."""
    try:
        trial()
    except Exception as error:
        return Finding(name, "problem", one_line(error), fix)
    return Finding(name, "ok", about)
