"""Command-line formats for sizes, weighted names and lists."""

from vqclip.config.checks import name_of
from vqclip.config.prompts import split_weight
from vqclip.config.setting import Spelling
from vqclip.errors import UsageError

Size = tuple[int, int]
Border = tuple[int, int, int, int]


def parse_size(text: str | None) -> Size | None:
    """Parse ``256x192`` or ``256`` into (width, height) in pixels.

    Raises:
        UsageError: the text is malformed.
    """
    if text is None:
        return None
    sides = text.lower().replace("×", "x").split("x")
    if len(sides) > 2 or not all(side.strip().isdecimal() for side in sides):
        raise UsageError(f"cannot read the size {text!r}: write WIDTHxHEIGHT, such as 256x192")
    return int(sides[0]), int(sides[-1])


def write_size(size: Size | None) -> str | None:
    """Return a size as text, such as ``256x192``; None stays None."""
    return "x".join(map(str, size)) if size else None


def parse_list(text: str) -> tuple[str, ...]:
    """Split at commas outside parentheses, dropping ``none`` and empty items.

    >>> parse_list("flip,affine(degrees=15,p=0.7)")
    ('flip', 'affine(degrees=15,p=0.7)')
    """
    items, depth = [""], 0
    for character in text:
        depth += (character == "(") - (character == ")")
        if character == "," and not depth:
            items.append("")
        else:
            items[-1] += character
    return tuple(item.strip() for item in items if item.strip() not in ("", "none"))


def parse_extend(text: str | None) -> Border:
    """Parse the pixels to add on the left, top, right and bottom, such as ``256,0,0,0``.

    Raises:
        UsageError: the text is malformed.
    """
    if text is None:
        return 0, 0, 0, 0
    words = text.split(",")
    if len(words) != 4 or not all(word.strip().isdecimal() for word in words):
        raise UsageError(f"cannot read `extend` {text!r}: write LEFT,TOP,RIGHT,BOTTOM in pixels")
    left, top, right, bottom = map(int, words)
    return left, top, right, bottom


def _with_weight(name: str, weight: float) -> str:
    try:
        plain = weight == 1 and split_weight(name) == (name, 1.0)
    except UsageError:
        plain = False
    return name if plain else f"{name}:{weight!r}"


SIZES = Spelling(parse_size, write_size)
WEIGHTED = Spelling(
    lambda texts: tuple(map(split_weight, texts or ())),
    lambda pairs: [_with_weight(*pair) for pair in pairs],
    many=True,
)
LIST = Spelling(parse_list, lambda items: ",".join(items) or "none")
WORDS = Spelling(lambda texts: tuple(texts or ()), list, many=True)
EXTEND = Spelling(parse_extend, lambda border: ",".join(map(str, border)) if any(border) else None)
NAME = Spelling(write=name_of)
