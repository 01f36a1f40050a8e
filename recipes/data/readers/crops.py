"""Square crops of a photo or texture."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from PIL import Image

from recipes.data.candidates import Candidate, choices


def crops(source: str, whole: Candidate, count: int, smallest: float) -> Iterator[Candidate]:
    """Yield the centre square of an image and ``count - 1`` random squares.

    smallest: the minimum side, as a fraction of the image's shorter side.
    Random squares may miss the caption's subject, so their rows have ``crop: true``.
    """
    draw = whole.draw
    yield replace(whole, draw=partial(_centre, draw))
    for number in range(1, count):
        random = choices(source, f"{whole.key}#{number}")
        shares = (random.uniform(smallest, 1), random.random(), random.random())
        yield replace(
            whole,
            key=f"{whole.key}#{number}",
            draw=partial(square, draw, *shares),
            columns={**whole.columns, "crop": True},
        )


def _centre(draw: Callable[[], Image.Image]) -> Image.Image:
    return square(draw, 1, 0.5, 0.5)


def square(draw: Callable[[], Image.Image], size: float, across: float, down: float) -> Image.Image:
    """Cut a square of ``size`` × the shorter side, at the position (across, down) in [0, 1]."""
    image = draw().convert("RGB")
    side = int(min(image.size) * size)
    left, top = int((image.width - side) * across), int((image.height - side) * down)
    return image.crop((left, top, left + side, top + side))
