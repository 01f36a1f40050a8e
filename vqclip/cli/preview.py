"""Images in the terminal, as coloured half blocks."""

from PIL import Image
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.style import Style

ROWS = 16  # lines of text


class HalfBlocks:
    """Two pixels per character: an upper half block in the colour of the upper pixel."""

    def __init__(self, image: Image.Image) -> None:
        self.image = image

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the rows."""
        columns = min(options.max_width, ROWS * 2 * self.image.width // self.image.height)
        rows = max(1, columns * self.image.height // self.image.width // 2)
        pixels = self.image.resize((columns, rows * 2), Image.Resampling.BOX).convert("RGB").load()
        assert pixels is not None
        for row in range(rows):
            for column in range(columns):
                upper, lower = pixels[column, 2 * row], pixels[column, 2 * row + 1]
                yield Segment("▀", Style.parse(f"{_hex(upper)} on {_hex(lower)}"))
            yield Segment.line()


def _hex(colour: object) -> str:
    assert isinstance(colour, tuple)
    return "#{:02x}{:02x}{:02x}".format(*colour)
