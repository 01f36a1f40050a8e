import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vqclip.config import (
    CompleteConfig,
    GenerateConfig,
    OutputConfig,
    SampleConfig,
    StoryConfig,
    TimingConfig,
    VideoConfig,
)
from vqclip.config.arguments import config_from
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


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"prompts": "a red apple"}, "prompts must be a list, not 'a red apple'"),
        ({"prompts": ("a red apple",)}, "prompts.0 must be a Prompt, not 'a red apple'"),
        ({"steps": 1.5}, "steps must be a whole number, not 1.5"),
        ({"steps": "3"}, "steps must be a whole number, not '3'"),
        ({"steps": True}, "steps must be a whole number, not True"),
        ({"seed": None}, "seed must be a whole number, not None"),
        ({"size": (64.0, 64.0)}, "size.0 must be a whole number, not 64.0"),
        ({"size": (64,)}, r"size must be 2 values, not \(64,\)"),
        ({"guidance": None}, "guidance must be a number, not None"),
        ({"noise": "0.1"}, "noise must be a number, not '0.1'"),
        ({"noise": 10**400}, "noise must be a number, not 1000"),
        ({"learning_rate": True}, "learning_rate must be a number, not True"),
        ({"style": None}, "style must be text, not None"),
        ({"augment": "flip"}, "augment must be a list, not 'flip'"),
        ({"losses": None}, "losses must be a list, not None"),
        ({"losses": (3,)}, "losses.0 must be 2 values, not 3"),
        ({"clip": (("default", "1"),)}, "clip.0.1 must be a number, not '1'"),
        ({"optimizer": None}, "optimizer must be text or a function, not None"),
    ],
)
def test_values_of_the_wrong_type_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=f"^{message}"):
        GenerateConfig(**{"prompts": APPLE, **wrong})


def test_numbers_and_lists_of_any_class_become_plain() -> None:
    given: dict[str, Any] = {
        "size": np.array([64, 48]),
        "steps": np.int64(2),
        "seed": np.uint32(7),
        "noise": np.float32(0.5),
        "guidance": 2,
        "clip": [["default", 1]],
        "augment": ["flip"],
        "cut_chunk": np.int16(4),
    }
    config = GenerateConfig(APPLE, **given)
    assert json.loads(json.dumps(config.to_dict()))["size"] == [64, 48]
    assert GenerateConfig.from_dict(config.to_dict()) == config
    assert (config.steps, config.seed, config.cut_chunk) == (2, 7, 4)
    assert (config.clip, config.augment) == ((("default", 1.0),), ("flip",))
    assert {type(config.noise), type(config.guidance), type(config.clip[0][1])} == {float}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SampleConfig(samples=2.5), "samples must be a whole number"),
        (lambda: CompleteConfig(picture="a.png", extend=8), "extend must be 4 values, not 8"),
        (lambda: StoryConfig((APPLE,), APPLE), "picture must be a GenerateConfig"),
        (lambda: TimingConfig(fps="10"), "fps must be a number"),
        (lambda: VideoConfig(10, sound="a.mp3"), "sound must be a Path, not 'a.mp3'"),
    ],
)
def test_every_config_checks_its_types(make: Callable[[], object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make()


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


@pytest.mark.parametrize(
    ("conditions", "recorded"),
    [({"class": 1}, ("class", "1")), ({"depth": Path("map.png")}, ("depth", "map.png"))],
)
def test_conditions_are_recorded_as_text(
    conditions: dict[str, object], recorded: tuple[str, str]
) -> None:
    assert config_from(SampleConfig, None, {"conditions": conditions}).conditions == (recorded,)
