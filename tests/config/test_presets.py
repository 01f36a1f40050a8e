"""Presets: each is complete and gives valid settings and cutouts."""

from dataclasses import fields
from typing import Any

import pytest
import torch

from vqclip.config import GenerateConfig
from vqclip.config.presets import PRESETS
from vqclip.config.prompts import Prompt
from vqclip.errors import UsageError
from vqclip.generation.cutouts import Cutouts

ASKED = {"nerdyrodent", "crowson", "eleutherai", "pixray", "bigsleep", "rkhamilton"}
METHOD = {"cut_method", "num_cutouts", "cut_power", "augment", "noise"}
RUN = {"size", "steps", "optimizer", "learning_rate", "init", "init_weight", "ema"}


def test_every_peer_has_a_preset() -> None:
    assert set(PRESETS) >= ASKED


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_preset_is_complete_and_valid(name: str) -> None:
    preset: dict[str, Any] = dict(PRESETS[name])
    assert set(preset) >= METHOD | RUN - {"ema"}
    assert set(preset) <= METHOD | RUN | {"init_decay", "init_target", "schedule"}
    assert set(preset) <= {field.name for field in fields(GenerateConfig)}
    config = GenerateConfig(prompts=(Prompt("a red apple"),), **preset)
    cutouts = Cutouts(config.cut_method, 2, config.cut_power, config.augment, config.noise)
    image = torch.rand(1, 3, 36, 64, generator=torch.Generator().manual_seed(0))
    plan = cutouts.plan((36, 64), 32, torch.Generator().manual_seed(0))
    assert cutouts.apply(image, plan, 0, 2).shape == (2, 3, 32, 32)


def test_an_unknown_preset_is_named() -> None:
    with pytest.raises(
        UsageError, match="unknown preset 'nerdyrodant'; did you mean 'nerdyrodent'"
    ):
        PRESETS["nerdyrodant"]
