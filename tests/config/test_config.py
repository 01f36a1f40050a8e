import json
import math

import pytest

from vqclip.config import GenerateConfig, OutputConfig
from vqclip.config.prompts import Prompt
from vqclip.config.spelling import parse_list, parse_size
from vqclip.errors import UsageError

APPLE = (Prompt("apple"),)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"prompts": ()}, "no prompt"),
        ({"clip": ()}, "no CLIP"),
        ({"steps": -1}, "steps must be at least 0"),
        ({"num_cutouts": 0}, "cutouts must be at least 1"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"seed": 2**63}, "seed must be at most"),
        ({"size": (0, 10)}, "size must be"),
        ({"size": (10, 99999)}, "size must be"),
        ({"learning_rate": 0}, "learning rate"),
        ({"learning_rate": math.inf}, "learning rate"),
        ({"ema": 1.0}, "ema"),
        ({"noise": -1.0}, "noise"),
        ({"init_weight": math.nan}, "init weight"),
        ({"clip": (("default", math.nan),)}, "weight of default"),
        ({"fit": "squash"}, "unknown fit 'squash'; known: cover"),
        ({"schedule": "cosin"}, "unknown schedule"),
        ({"cut_chunk": 0}, "cut chunk"),
    ],
)
def test_values_out_of_range_are_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        GenerateConfig(**{"prompts": APPLE, **wrong})  # type: ignore[arg-type]


def test_settings_survive_json() -> None:
    config = GenerateConfig(
        prompts=(Prompt("a|b", -0.5, 0.25), Prompt("x.png", kind="image")),
        size=(256, 192),
        clip=(("default", 1.0), ("other", 0.5)),
        losses=(("symmetry", 2.0),),
        augment=(),
    )
    text = json.dumps(config.to_dict(), allow_nan=False)
    assert GenerateConfig.from_dict(json.loads(text)) == config


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(UsageError, match="unknown settings: wings"):
        GenerateConfig.from_dict({"prompts": [], "wings": 2})


def test_outputs_are_checked(tmp_path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UsageError, match="every must be at least 1"):
        OutputConfig(tmp_path / "a.png", every=0)
    with pytest.raises(UsageError, match="fps"):
        OutputConfig(tmp_path / "a.png", fps=0)


def test_sizes() -> None:
    assert parse_size(None) is None
    assert parse_size("256") == (256, 256)
    assert parse_size("256x192") == (256, 192)
    assert parse_size("256×192") == (256, 192)
    for text in ("", "x", "10x", "1x2x3", "-5x5", "1.5x2", "big"):
        with pytest.raises(UsageError, match="cannot read the size"):
            parse_size(text)


def test_lists_split_outside_parentheses() -> None:
    assert parse_list("flip, affine(degrees=15,p=0.7) ,jitter") == (
        "flip",
        "affine(degrees=15,p=0.7)",
        "jitter",
    )
    assert parse_list("none") == () == parse_list("")
