"""What a reader yields: a picture still to be drawn, and all that its package says of it."""

import random
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from PIL import Image


@dataclass(frozen=True, slots=True)
class Candidate:
    """One picture of a source, not yet drawn.

    key: its name inside the source; lasting, for every random choice hangs on it.
    texts: its captions, the name first.
    draw: makes the picture, RGBA (a cut-out) or RGB (a full frame); must survive pickling.
    kind: photo, painting, drawing, emoji, render or texture.
    license, author: for the row and the NOTICE; an author is whom the package names for this one.
    background: the colour's name that it is to stand on; chosen where None.
    padding: pixels left free around a cut-out.
    pixelated: its pixels are to stay sharp squares when it is enlarged.
    columns: further columns of its row.
    """

    key: str
    texts: tuple[str, ...]
    draw: Callable[[], Image.Image]
    kind: str
    license: str
    tags: tuple[str, ...] = ()
    author: str = ""
    background: str | None = None
    padding: int = 6
    pixelated: bool = False
    columns: Mapping[str, Any] = field(default_factory=dict)


def choices(source: str, key: str) -> random.Random:
    """Return the random numbers of one picture: they depend on its source and key alone."""
    return random.Random(f"{source}:{key}")


def clean(text: str) -> str:
    """Return a name as words.

    >>> clean("red_wine-glass ")
    'red wine glass'
    """
    return re.sub(r"[\s_-]+", " ", text).strip()


def unique(words: Iterable[str]) -> tuple[str, ...]:
    """Return cleaned words without empty ones and, whatever the case, without repetitions.

    >>> unique(["Red fox", "red_fox", "", "animal"])
    ('Red fox', 'animal')
    """
    found: dict[str, str] = {}
    for word in map(clean, words):
        if word:
            found.setdefault(word.lower(), word)
    return tuple(found.values())


def uncamel(name: str) -> str:
    """Return a camel-case name as lower-case words.

    >>> uncamel("christTheRedeemer")
    'christ the redeemer'
    """
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
