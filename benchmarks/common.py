"""What several of the scripts need."""

import ast
from collections.abc import Sequence
from typing import Any

from PIL import Image


def read_settings(pairs: Sequence[str]) -> dict[str, Any]:
    """Read ``name=value`` pairs; a value that is no Python literal is a string."""
    values: dict[str, Any] = {}
    for pair in pairs:
        name, _, text = pair.partition("=")
        try:
            values[name] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            values[name] = text
    return values


def montage(pictures: Sequence[Image.Image], columns: int, gap: int = 0) -> Image.Image:
    """Return pictures of one size in rows."""
    width, height = (side + gap for side in pictures[0].size)
    rows = -(-len(pictures) // columns)
    page = Image.new("RGB", (columns * width - gap, rows * height - gap), "white")
    for number, picture in enumerate(pictures):
        page.paste(picture, (number % columns * width, number // columns * height))
    return page
