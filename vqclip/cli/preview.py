"""Images in the terminal: Kitty, iTerm2, sixel, or coloured half blocks.

The ``textual-image`` package lacks iTerm2's protocol, which WezTerm, VS Code and mintty also
support.
"""

import base64
import os
import re
import select
import sys
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import TextIO

from PIL import Image
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.segment import ControlType, Segment
from rich.style import Style

Draw = Callable[[Image.Image], RenderableType]
ROWS = 16  # lines of text
_CELL = (10, 20)  # approximate pixels per character cell, for protocols in pixels


def find_preview(console: Console, keyboard: TextIO) -> Draw | None:
    """Return a renderer for this terminal, or None if stderr is not a terminal."""
    if not console.is_terminal:
        return None
    encode = _encoder(keyboard)
    return HalfBlocks if encode is None else lambda image: Graphics(image, encode)


def graphics(console: Console, keyboard: TextIO) -> str:
    """Return the name of the graphics protocol, or an empty string if stderr is not a terminal."""
    if not console.is_terminal:
        return ""
    encode = _encoder(keyboard)
    return f"{encode.__name__} graphics" if encode else "half blocks"


def _encoder(keyboard: TextIO) -> "Callable[[Image.Image], str] | None":
    return _protocol(os.environ) or (sixel if _answers_sixel(keyboard) else None)


def _protocol(env: "os._Environ[str]") -> "Callable[[Image.Image], str] | None":
    program, term = env.get("TERM_PROGRAM", ""), env.get("TERM", "")
    if env.get("TMUX") or term.startswith(("screen", "tmux")):
        return None  # these terminals discard graphics
    if env.get("KITTY_WINDOW_ID") or "kitty" in term or "ghostty" in (term + program.lower()):
        return kitty
    return iterm if program in ("iTerm.app", "WezTerm", "vscode", "mintty") else None


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


class Graphics:
    """Real pixels: a sequence that draws over ``ROWS`` empty lines and restores the cursor."""

    def __init__(self, image: Image.Image, encode: Callable[[Image.Image], str]) -> None:
        self.image, self.encode = image, encode

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield empty lines, which make the terminal scroll, and then draw the image over them."""
        yield from (Segment.line() for _ in range(ROWS))
        sequence = f"\x1b7\x1b[{ROWS}A\r{self.encode(self.image)}\x1b8"
        yield Segment(sequence, control=[(ControlType.CARRIAGE_RETURN,)])


def kitty(image: Image.Image) -> str:
    """Return a Kitty graphics sequence: a PNG in chunks of 4096 bytes."""
    data = base64.b64encode(_png(image)).decode()
    pieces = [data[i : i + 4096] for i in range(0, len(data), 4096)]
    head = f"a=T,f=100,q=2,C=1,i=1,r={ROWS},"
    return "".join(
        f"\x1b_G{head if number == 0 else ''}m={int(number + 1 < len(pieces))};{piece}\x1b\\"
        for number, piece in enumerate(pieces)
    )


def iterm(image: Image.Image) -> str:
    """Return an iTerm2 inline image sequence."""
    data = _png(image)
    text = base64.b64encode(data).decode()
    return f"\x1b]1337;File=inline=1;size={len(data)};height={ROWS}:{text}\a"


def sixel(image: Image.Image) -> str:
    """Return a sixel sequence: bands of six rows, with a line of bits for each of 64 colours."""
    height = ROWS * _CELL[1] // 6 * 6
    width = max(1, height * image.width // image.height)
    small = image.convert("RGB").resize((width, height)).quantize(64)
    palette = small.getpalette() or []
    colours = "".join(
        f"#{i};2;" + ";".join(str(v * 100 // 255) for v in palette[3 * i : 3 * i + 3])
        for i in range(len(palette) // 3)
    )
    pixels = small.tobytes()
    bands = (pixels[top * width : (top + 6) * width] for top in range(0, height, 6))
    return (
        f'\x1bPq"1;1;{width};{height}{colours}'
        + "-".join(_band(b, width) for b in bands)
        + "\x1b\\"
    )


def _band(pixels: bytes, width: int) -> str:
    lines = ((c, _run_lengths(_bits(pixels, width, c))) for c in sorted(set(pixels)))
    return "$".join(f"#{colour}{bits}" for colour, bits in lines)


def _bits(pixels: bytes, width: int, colour: int) -> str:
    columns = (pixels[column::width] for column in range(width))
    return "".join(chr(63 + sum((p == colour) << row for row, p in enumerate(c))) for c in columns)


def _run_lengths(bits: str) -> str:
    return re.sub(r"(.)\1{3,}", lambda run: f"!{len(run[0])}{run[1]}", bits)


def _png(image: Image.Image) -> bytes:
    buffer = BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _answers_sixel(keyboard: TextIO, wait: float = 0.1) -> bool:
    """Query the terminal's attributes (DA1); return whether they include 4 (sixel support)."""
    if sys.platform == "win32" or not keyboard.isatty():
        return False
    import termios
    import tty

    number = keyboard.fileno()
    before = termios.tcgetattr(number)
    try:
        tty.setcbreak(number)
        sys.stderr.write("\x1b[c")
        sys.stderr.flush()
        answer = "".join(_typed(number, wait))
    finally:
        termios.tcsetattr(number, termios.TCSADRAIN, before)
    found = re.search(r"\x1b\[\?([\d;]+)c", answer)
    return bool(found) and "4" in (found[1] if found else "").split(";")


def _typed(number: int, wait: float) -> Iterator[str]:
    """Yield input until the final letter of the reply, or until a timeout."""
    character = ""
    while character != "c" and select.select([number], [], [], wait)[0]:
        character = os.read(number, 1).decode(errors="replace")
        yield character
