"""-o - writes only an image to standard output."""

import io
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.runner import invoke, refused, vqclip
from tests.conftest import leftovers

QUICK = ("--steps", "1", "--init", "random", "--size", "32", "--cutouts", "2", "--seed", "1")


def test_stdout_has_the_bytes_of_the_file() -> None:
    vqclip("a fox", *QUICK, "-o", "fox.png")
    for words in (("a fox", *QUICK, "-o", "-"), ("again", "fox.png", "--output", "-")):
        result = invoke(*words)
        assert result.exit_code == 0
        assert result.stdout_bytes == Path("fox.png").read_bytes()
        assert "seed 1" in result.stderr
    assert leftovers(Path()) == ["fox.png"]


def test_reconstruct_to_stdout() -> None:
    Image.new("RGB", (16, 16), "red").save("a.png")
    result = invoke("reconstruct", "a.png", "-o", "-")
    with Image.open(io.BytesIO(result.stdout_bytes)) as image:
        assert image.size == (16, 16)


@pytest.mark.parametrize("further", [("--count", "2"), ("--gif",), ("--json",), ("--checkpoint",)])
def test_only_one_image_is_allowed(further: tuple[str, ...]) -> None:
    assert f"drop {further[0]}" in refused("a fox", *QUICK, "-o", "-", *further)


def test_dash_can_be_a_prompt() -> None:
    assert "--dry-run" not in vqclip("--dry-run", *QUICK, "--", "-o", "-").stdout
