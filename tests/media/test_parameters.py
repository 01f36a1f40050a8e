"""PNGs contain the settings in the format of other programs too; prompts are shown as typed."""

import json

import pytest
from PIL import Image

from tests.cli.runner import vqclip
from vqclip.config.prompts import parse_prompts

QUICK = ("--steps", "1", "--init", "random", "--cutouts", "2")


def test_own_images_have_parameters() -> None:
    typed = "a fox:2 | 16:9 poster | blurry:-0.5"
    vqclip(typed, *QUICK, "--size", "16", "--seed", "3", "-o", "a.png")
    with Image.open("a.png") as image:
        texts = image.text  # type: ignore[attr-defined]
    assert texts["Description"] == typed
    assert json.loads(texts["vqclip"])["prompt"] == texts["Description"]
    positive, negative, last = texts["parameters"].split("\n")
    assert (positive, negative) == ("a fox, 16:9 poster", "Negative prompt: blurry")
    assert last.startswith('Steps: 1, Seed: 3, Size: 16x16, Model: "default", Version: vqclip ')


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("16:9 poster", "16:9 poster"),
        ("apple:2", "apple:2"),
        ("apple:-0.5:0.25", "apple:-0.5:0.25"),
        (r"a\|b", r"a\|b"),
        (r"apple\:2", r"apple\:2"),
        ("route 66:2.0", "route 66:2.0"),
        ("dawn ^ night", r"dawn \^ night"),
    ],
)
def test_prompts_are_shown_as_typed(typed: str, told: str) -> None:
    assert " | ".join(map(str, parse_prompts(typed))) == told
    assert parse_prompts(told) == parse_prompts(typed)
