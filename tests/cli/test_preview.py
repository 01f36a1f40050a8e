import io

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from vqclip.cli.preview import ROWS, HalfBlocks
from vqclip.cli.terminal import Terminal


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


def test_preview_needs_a_terminal(
    picture: Image.Image, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal(preview=True)
    terminal.show(picture)
    assert not capsys.readouterr().err
    monkeypatch.setattr(terminal, "console", Console(stderr=True, force_terminal=True))
    terminal.show(picture)
    assert "▀" in capsys.readouterr().err
