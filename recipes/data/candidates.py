"""Candidates, yielded by readers: images to render, with their packages' metadata."""

import random
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from PIL import Image


@dataclass(frozen=True, slots=True)
class Candidate:
    """An image in a source, not yet rendered.

    key: name within the source, which must not change because random choices depend on it.
    texts: the captions, starting with the name.
    draw: returns the image, RGBA (a cut-out) or RGB (a full frame); must be picklable.
    kind: photo, painting, drawing, emoji, render or texture.
    license, author: for the row and the NOTICE; the author is the one named for this image.
    background: name of the colour to place it on; if None, a colour is chosen.
    padding: pixels left free around a cut-out.
    pixelated: whether pixels remain sharp squares when the image is enlarged.
    columns: additional columns of the row.
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
    """Return an image's random generator, which depends only on its source and key."""
    return random.Random(f"{source}:{key}")


def clean(text: str) -> str:
    """Return a name as words separated by single spaces.

    >>> clean("red_wine-glass ")
    'red wine glass'
    """
    return re.sub(r"[\s_-]+", " ", text).strip()


def unique(words: Iterable[str]) -> tuple[str, ...]:
    """Return the cleaned words, without empty words or repetitions, ignoring case.

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
