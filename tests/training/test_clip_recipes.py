"""The recipes can be trained, and the model that is shipped keeps its size."""

from pathlib import Path

import pytest
import torch

from vqclip.training.clip import ClipStage
from vqclip.training.datasettings import DataConfig
from vqclip.training.settings import read_settings
from vqclip.training.stages import open_stage

RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.mark.parametrize(("name", "most"), [("clip", 26e6), ("judge", 26e6)])
def test_the_recipe_can_be_trained_and_its_model_is_small(name: str, most: float) -> None:
    settings = read_settings("clip", RECIPES / f"{name}.yaml", ["loss.tokens.table=null"])
    assert DataConfig.from_dict(settings.data).hold_out.judge == "style"
    stage = open_stage(settings, torch.device("cpu"))
    assert isinstance(stage, ClipStage)
    assert 2 * sum(parameter.numel() for parameter in stage.clip.parameters()) < most


def test_the_judge_is_another_model_on_another_split() -> None:
    clip, judge = (read_settings("clip", RECIPES / f"{name}.yaml") for name in ("clip", "judge"))
    assert clip.seed != judge.seed
    assert clip.model["model_cfg"]["vision_cfg"] != judge.model["model_cfg"]["vision_cfg"]
    assert clip.data["hold_out"] != judge.data["hold_out"]
