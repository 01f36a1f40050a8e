"""Settings of other programs are shown and used, and vqclip writes its own for them."""

import json
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.cli.runner import refused, vqclip
from vqclip.batch.formats import LIST_FORMATS
from vqclip.config.prompts import Prompt, parse_prompts
from vqclip.media.images import read_metadata
from vqclip.media.metadata import exif
from vqclip.media.parameters import parse_parameters, plain_prompts

PROMPT = "a (fox:1.3) in the [snow], <lora:style:0.8>, 16:9"
NEGATIVE = "blurry, ugly"
LAST = 'Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 5, Size: 32x16, Model: "a, b"'
TEXT = f"{PROMPT}\nNegative prompt: {NEGATIVE}\n{LAST}"
QUICK = ("--steps", "1", "--init", "random", "--cutouts", "2")


def picture(name: str, text: str = TEXT) -> str:
    info = PngInfo()
    info.add_text("parameters", text)
    extra = {"pnginfo": info} if name.endswith(".png") else {"exif": exif(text)}
    Image.new("RGB", (8, 8)).save(name, **extra)  # type: ignore[arg-type]
    return name


def test_the_settings_are_read() -> None:
    found = parse_parameters(TEXT)
    assert found
    assert found["prompt"] == PROMPT
    assert found["parameters"]["Model"] == "a, b"
    assert plain_prompts(found) == (Prompt("a fox in the snow, , 16:9"), Prompt(NEGATIVE, -0.5))


@pytest.mark.parametrize("text", ["", "a fox", "a fox\nSteps: 20, Seed: 1", "{}", "a: b, c"])
def test_other_texts_are_not_settings(text: str) -> None:
    assert parse_parameters(text) is None
    assert "contains no vqclip settings" in refused("show", picture("a.png", text))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_show_and_again_accept_them(name: str) -> None:
    told = vqclip("show", picture(name)).stdout
    assert f"prompt             {PROMPT}\n" in told
    assert "Sampler            Euler a\n" in told
    assert "--size 32x16 --seed 5" in told
    note = vqclip("again", name, *QUICK, "-o", "b.png").stderr
    assert "uses its prompt, seed and size, but not Steps, Sampler, CFG scale, Model" in note
    made = read_metadata(Path("b.png"))
    assert (made["settings"]["seed"], made["settings"]["size"]) == (5, [32, 16])
    assert [prompt["weight"] for prompt in made["settings"]["prompts"]] == [1.0, -0.5]


def test_broken_foreign_settings() -> None:
    name = picture("a.png", TEXT.replace("Size: 32x16", "Size: huge"))
    assert "the settings in a.png cannot be used" in refused("again", name)


def test_own_images_have_parameters() -> None:
    typed = "a fox:2 | 16:9 poster | blurry:-0.5"
    vqclip(typed, *QUICK, "--size", "16", "--seed", "3", "-o", "a.png")
    with Image.open("a.png") as image:
        texts = image.text  # type: ignore[attr-defined]
    assert texts["Description"] == typed
    assert json.loads(texts["vqclip"])["prompt"] == texts["Description"]
    found = parse_parameters(texts["parameters"])
    assert found
    assert found["prompt"] == "a fox, 16:9 poster"
    values = found["parameters"]
    assert (values["Negative prompt"], values["Seed"], values["Size"]) == ("blurry", "3", "16x16")


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


def test_negative_prompt_column() -> None:
    table = 'prompt,Negative Prompt,steps\na fox,"blurry, ugly",3\na cat,,4\n'
    rows = [row.words for row in LIST_FORMATS["csv"](table)]
    assert rows == [
        ("--steps=3", "--", "a fox", "blurry, ugly:-0.5"),
        ("--steps=4", "--", "a cat"),
    ]
    (row,) = LIST_FORMATS["jsonl"]('{"prompt": "a", "negative_prompt": ["b", "at 3:00"]}')
    assert row.words == ("--", "a", "b:-0.5", r"at 3\:00:-0.5")
