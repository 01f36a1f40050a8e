"""The recipes can be trained, and the built-in models keep their size."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import torch

from vqclip.training.clip.stage import ClipStage
from vqclip.training.data.settings import DataConfig
from vqclip.training.settings import read_training_settings
from vqclip.training.stages import open_stage

RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.mark.parametrize(("name", "most"), [("clip", 26e6), ("judge", 26e6)])
def test_the_recipe_can_be_trained_and_its_model_is_small(name: str, most: float) -> None:
    settings = read_training_settings("clip", RECIPES / f"{name}.yaml", ["loss.tokens.table=null"])
    assert DataConfig.from_dict(settings.data).hold_out.judge == "style"
    stage = open_stage(settings, torch.device("cpu"))
    assert isinstance(stage, ClipStage)
    assert 2 * sum(parameter.numel() for parameter in stage.clip.parameters()) < most


def test_the_judge_is_another_model_on_another_split() -> None:
    clip, judge = (
        read_training_settings("clip", RECIPES / f"{name}.yaml") for name in ("clip", "judge")
    )
    assert clip.seed != judge.seed
    assert clip.model["model_cfg"]["vision_cfg"] != judge.model["model_cfg"]["vision_cfg"]
    assert clip.data["hold_out"] != judge.data["hold_out"]


def test_styles_of_the_transformer_are_those_of_its_data() -> None:
    settings = read_training_settings("transformer", RECIPES / "transformer.yaml")
    stage = settings.model["params"]["cond_stage_config"]["params"]
    assert stage["styles"] == list(settings.data["styles"])
    train = (RECIPES / "train.sh").read_text()
    grown = re.search(r"--styles (.+?)\n +;;", train, re.DOTALL)
    assert grown
    assert shlex.split(grown[1].replace("\\\n", " ")) == stage["styles"]


def words_of(*arguments: str, code: int = 0, **environment: str) -> list[list[str]]:
    """Return the vqclip commands that ``recipes/train.sh`` would run."""
    environment |= {"PROGRAM": "printf %s\\n <end>", "PATH": "/usr/bin:/bin"}
    command = ["bash", str(RECIPES / "train.sh"), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return [part.splitlines()[1:] for part in ("\n" + done.stdout).split("\n<end>")[1:]]


def test_one_command_trains_the_models_further() -> None:
    names = ["vqgan", "clip", "transformer", "judge"]
    for name, words in zip(names, words_of("my data", *names, STEPS="9"), strict=True):
        assert words[0] == "train"
        options = [words[i + 1] for i, word in enumerate(words) if word == "--set"]
        settings = read_training_settings(words[1], RECIPES.parent / words[2], options)
        assert settings.data["sources"][0]["path"] == "my data/captions.jsonl"
        assert settings.train.steps == 9
        assert "--resume" in words
        assert words[words.index("--output") + 1] == f"runs/{name}"
        if name != "judge":
            assert (RECIPES.parent / str(settings.start)).is_dir()
    assert words_of("data", "encode")[0][:2] == ["encode", "recipes/transformer.yaml"]
    features = words_of("data", "features")[0]
    assert "start=runs/vqgan/best" in features
    assert features[len(features) - features[::-1].index("--output")] == "runs/features"
    starts = ["weights/vqgan", "runs/decoder/best", "runs/corners/best"]
    for words, start in zip(words_of("data", "decoder"), starts, strict=True):
        options = [words[i + 1] for i, word in enumerate(words) if word == "--set"]
        settings = read_training_settings("vqgan", RECIPES / "vqgan.yaml", options)
        assert settings.start == start
        assert settings.loss["freeze"] == ["encoder", "quant_conv", "quantize"]
        assert settings.data["composition"]["gradient"] == 0.15, "the rest of the section stays"
    assert words_of("data", "wings", code=2) == []
    assert words_of("data", code=2) == []
