"""The command evaluate, with the built-in models."""

import json
from pathlib import Path

import pytest
import yaml
from PIL import Image

from tests.cli.runner import refused, vqclip
from vqclip.media.images import save_image

NAMES = ("red", "green", "blue", "yellow", "black", "white")


@pytest.fixture(autouse=True)
def _pictures() -> None:
    Path("pictures").mkdir()
    for name in NAMES:
        Image.new("RGB", (32, 32), name).save(f"pictures/{name}.png")
        Path(f"pictures/{name}.txt").write_text(f"a {name} square")
    Path("empty").mkdir()
    data = {"sources": [{"path": "pictures"}], "size": 32, "hold_out": {"share": 0.5}}
    Path("data.yaml").write_text(yaml.safe_dump({"data": data}))


@pytest.mark.slow
def test_evaluate_vqgan_on_a_folder() -> None:
    result = vqclip("evaluate", "vqgan", "pictures", "--size", "32", "--json")
    figures = json.loads(result.stdout)
    assert figures["pictures"] == len(NAMES)
    assert figures["psnr"] > 10
    assert 0 < figures["ssim"] <= 1
    assert 0 < figures["codes"] < 1
    assert figures["perceptual"] > 0


def test_yaml_uses_its_held_out_images() -> None:
    result = vqclip("evaluate", "vqgan", "data.yaml", "--perceptual", "none", "--json")
    held_out = json.loads(result.stdout)["pictures"]
    assert 0 < held_out < len(NAMES)
    words = ["--set", "data.hold_out.share=0.99", "--perceptual", "none", "--json"]
    more = vqclip("evaluate", "vqgan", "data.yaml", *words, code=2)
    assert "no images are left to train on" in more.stderr


def test_evaluate_clip_as_a_table() -> None:
    result = vqclip("evaluate", "clip", "pictures", "--concepts", "3")
    assert "R@1, both directions" in result.stdout
    assert "%" in result.stdout


def test_evaluate_images_with_a_judge() -> None:
    for name in NAMES[:3]:
        picture = Image.new("RGB", (32, 32), name)
        save_image(picture, Path(f"out/{name}.png"), {"prompt": f"a {name} square"})
    result = vqclip("evaluate", "pictures", "out", "--judge", "default", "--json")
    figures = json.loads(result.stdout)
    assert figures["pictures"] == 3
    assert figures["r_precision"] in (0, pytest.approx(1 / 3), pytest.approx(2 / 3), 1)
    assert [v["file"] for v in figures["verdicts"]] == ["blue.png", "green.png", "red.png"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "choose what to evaluate: vqgan, clip, transformer, pictures"),
        (["vqgan", "none.yaml"], "none.yaml"),
        (["vqgan", "none"], "no images at none"),
        (["vqgan", "empty"], "no images in empty"),
        (["clip", "data.yaml"], "nothing is held out in data.yaml"),
        (
            ["clip", "data.yaml"],
            "needs a style (where); add --held-out to evaluate on the held-out",
        ),
        (["transformer", "pictures", "-t", "none"], "unknown transformer 'none'"),
        (["pictures", "pictures", "--judge", "default"], "contains no vqclip settings"),
    ],
)
def test_invalid_calls(words: list[str], message: str) -> None:
    assert message in refused("evaluate", *words)
