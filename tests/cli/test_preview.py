import base64
import io
import os
import re

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from vqclip.cli.preview import ROWS, Graphics, HalfBlocks, find_preview, iterm, kitty, sixel


@pytest.fixture
def picture() -> Image.Image:
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[:32] = (255, 0, 0)
    pixels[32:] = (0, 0, 255)
    return Image.fromarray(pixels)


def printed(picture: object) -> str:
    console = Console(
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
        width=80,
        legacy_windows=False,
    )
    console.print(picture)
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def test_half_blocks_show_the_colours(picture: Image.Image) -> None:
    lines = printed(HalfBlocks(picture)).splitlines()
    assert len(lines) == ROWS
    assert lines[0].count("▀") == 2 * ROWS
    assert "38;2;255;0;0" in lines[0]
    assert "48;2;0;0;255" in lines[-1]


def test_kitty_sends_the_png_in_chunks(picture: Image.Image) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    pieces = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", kitty(noise))
    assert len(pieces) > 1
    assert [options[-1] for options, _ in pieces] == ["1"] * (len(pieces) - 1) + ["0"]
    data = base64.b64decode("".join(piece for _, piece in pieces))
    with Image.open(io.BytesIO(data)) as image:
        assert image.tobytes() == noise.tobytes()


def test_iterm_sends_the_png(picture: Image.Image) -> None:
    data = base64.b64decode(re.sub(r".*:|\a", "", iterm(picture), flags=re.DOTALL))
    with Image.open(io.BytesIO(data)) as image:
        assert image.tobytes() == picture.tobytes()


def test_sixel_draws_the_image(picture: Image.Image) -> None:
    text = sixel(picture)
    match = re.fullmatch(r'\x1bPq"1;1;(\d+);(\d+)([^\x1b]*)\x1b\\', text)
    assert match
    width, height, body = int(match[1]), int(match[2]), match[3]
    palette = {
        int(i): (int(r), int(g), int(b))
        for i, r, g, b in re.findall(r"#(\d+);2;(\d+);(\d+);(\d+)", body)
    }
    bands = re.sub(r"#\d+;2;\d+;\d+;\d+", "", body).split("-")
    assert len(bands) == height // 6
    for band in bands:
        for line in band.split("$"):
            bits = re.sub(r"!(\d+)(.)", lambda m: m[2] * int(m[1]), re.sub(r"^#\d+", "", line))
            assert len(bits) == width
    first = int(re.match(r"#(\d+)", bands[0])[1])  # type: ignore[index]
    assert palette[first] == (100, 0, 0)


def test_graphics_reserve_their_rows(picture: Image.Image) -> None:
    shown = printed(Graphics(picture, kitty))
    assert shown.count("\n") >= ROWS
    assert "\x1b_G" in shown


@pytest.mark.parametrize(
    ("env", "kind"),
    [
        ({"KITTY_WINDOW_ID": "1"}, Graphics),
        ({"TERM_PROGRAM": "iTerm.app"}, Graphics),
        ({"TERM_PROGRAM": "ghostty"}, Graphics),
        ({"TERM": "xterm-256color"}, HalfBlocks),
        ({"KITTY_WINDOW_ID": "1", "TMUX": "x"}, HalfBlocks),
    ],
)
def test_terminal_determines_the_protocol(
    env: dict[str, str], kind: type, picture: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("KITTY_WINDOW_ID", "TERM_PROGRAM", "TERM", "TMUX"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    with open(os.devnull) as keyboard:  # noqa: PTH123
        draw = find_preview(Console(force_terminal=True), keyboard)
        assert draw is not None
        assert isinstance(draw(picture), kind)
        assert find_preview(Console(file=io.StringIO()), keyboard) is None
