"""A run resumed from a checkpoint ends with the bytes of an uninterrupted run."""

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import vqclip
from tests import tiny
from tests.conftest import mostly_slow
from vqclip import GenerateConfig
from vqclip.config import OutputConfig
from vqclip.errors import CheckpointError, UsageError
from vqclip.generation.optimizers import OPTIMIZERS
from vqclip.generation.parallel import alone
from vqclip.generation.state import resumed as resume
from vqclip.generation.state import state_of
from vqclip.generation.step import Run, step_alone
from vqclip.hub.loaders import Models, load_models
from vqclip.runs import autosave as keeping
from vqclip.runs.checkpoint import Checkpoint, extended, load_checkpoint, save_checkpoint
from vqclip.runs.naming import checkpoint_path
from vqclip.runs.render import rendering

BASE = GenerateConfig(
    prompts=vqclip.parse_prompts("a red apple"),
    size=(16, 16),
    steps=4,
    seed=1,
    init="random",
    num_cutouts=2,
    learning_rate=0.3,
)
# Optimizers from pytorch-optimizer with other kinds of state: queues, mappings, lists, numbers.
EXTRA = ("adamp", "adashift", "aggmo", "diffgrad", "prodigy", "soap", "emonavi", "dadaptadam")


@pytest.fixture(scope="module")
def models() -> Models:
    """Return a CLIP model of one layer and a VQGAN of 24 codes."""
    torch.manual_seed(0)
    return replace(tiny.with_tiny_clip(load_models(BASE)), vqgan=tiny.vqgan())


def final(run: Run) -> tuple[torch.Tensor, torch.Tensor]:
    *_, last = run.frames()
    return last.z, last.image


def through_a_file(config: GenerateConfig, run: Run) -> Checkpoint:
    path = Path("a.checkpoint.safetensors")
    save_checkpoint(path, Checkpoint(config, OutputConfig(Path("a.png")), {}, state_of(run)))
    return load_checkpoint(path)


def test_checkpoint_uses_only_one_temporary_file(
    monkeypatch: pytest.MonkeyPatch, models: Models
) -> None:
    """The only file is the one that `replacing` creates, and removes if the process survives."""
    made, real = [], tempfile.mkstemp

    def mkstemp(**names: Any) -> tuple[int, str]:
        handle, name = real(**names)
        made.append(os.fstat(handle).st_ino)
        return handle, name

    monkeypatch.setattr(tempfile, "mkstemp", mkstemp)
    through_a_file(BASE, tiny.run(BASE, models))
    assert made == [Path("a.checkpoint.safetensors").stat().st_ino]


def check_every_step(config: GenerateConfig, models: Models) -> None:
    z, image = final(tiny.run(config, models))
    run = tiny.run(config, models)
    for step in range(config.steps + 1):
        saved = through_a_file(config, run)
        assert (saved.state.step, saved.config) == (step, config)
        resumed_z, resumed = final(resume(saved.config, models, saved.state))
        assert torch.equal(resumed_z, z)
        assert torch.equal(resumed, image)
        if step < config.steps:
            step_alone(run)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", [*OPTIMIZERS, *EXTRA])
def test_every_optimizer_resumes_exactly(models: Models, optimizer: str) -> None:
    check_every_step(replace(BASE, optimizer=optimizer, ema=0.5, schedule="cosine"), models)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"schedule": "linear"}, marks=pytest.mark.slow),
        {"schedule": "drop", "ema": 0.9},
        {"init_weight": 0.5, "init_decay": "harmonic", "init_target": "zero"},
        {"init": "perlin", "losses": (("symmetry", 1.0),), "cut_chunk": 1},
        {"cut_method": "pooled", "augment": (), "steps": 1},
        {"steps": 0},
    ],
)
def test_every_setting_resumes_exactly(models: Models, changes: Mapping[str, Any]) -> None:
    check_every_step(replace(BASE, **changes), models)


def interrupted_at(step: int) -> Any:
    def on_frame(frame: vqclip.Frame) -> None:
        if frame.step == step:
            raise KeyboardInterrupt

    return on_frame


def outputs(folder: str) -> OutputConfig:
    videos = (Path(folder, "a.gif"), Path(folder, "a.mp4"))
    return OutputConfig(
        Path(folder, "a.png"),
        every=1,
        frames=Path(folder, "f"),
        videos=videos,
        checkpoint=Path(folder, "a.checkpoint.safetensors"),
        overwrite=True,
    )


@pytest.mark.parametrize("step", mostly_slow([0, 2, 4], 2))
def test_ctrl_c_keeps_the_state_for_image_and_videos(models: Models, step: int) -> None:
    config = replace(BASE, ema=0.5)
    alone(rendering(config, replace(outputs("whole"), checkpoint=None), models))
    result = alone(rendering(config, outputs("part"), models, interrupted_at(step)))
    assert result.interrupted
    saved = load_checkpoint(Path("part/a.checkpoint.safetensors"))
    assert saved.output == outputs("part")
    assert saved.state.step == min(step + 1, 4)
    alone(rendering(saved.config, saved.output, models, state=saved.state))
    for whole in sorted(p for p in Path("whole").rglob("*") if p.is_file()):
        assert whole.read_bytes() == Path("part", whole.relative_to("whole")).read_bytes(), whole


def test_finished_run_continues_to_more_steps(models: Models) -> None:
    longer = final(tiny.run(replace(BASE, steps=6), models))
    run = tiny.run(BASE, models)
    final(run)
    saved = extended(through_a_file(BASE, run), 6)
    assert torch.equal(final(resume(saved.config, models, saved.state))[1], longer[1])
    with pytest.raises(UsageError, match="4 steps have already run"):
        extended(saved, 3)
    scheduled = replace(saved, config=replace(BASE, schedule="cosine"))
    with pytest.raises(UsageError, match="cannot be extended"):
        extended(scheduled, 8)


def test_folder_of_a_checkpoint_can_be_moved(models: Models) -> None:
    output = replace(outputs("x"), codes=Path("x/a.npz"))
    path = checkpoint_path(output.path)
    save_checkpoint(path, Checkpoint(BASE, output, {"a": 1}, state_of(tiny.run(BASE, models))))
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["vqclip"])
    assert header["output"]["films"] == [p.name for p in output.videos]  # as in earlier versions
    Path("x").rename("y")
    moved = load_checkpoint(Path("y") / path.name)
    assert moved.output == replace(outputs("y"), codes=Path("y/a.npz"))
    assert moved.metadata == {"a": 1}


def test_files_that_are_not_checkpoints(models: Models) -> None:
    with pytest.raises(UsageError, match="no such checkpoint"):
        load_checkpoint(Path("none"))
    path = Path("a.safetensors")
    path.write_bytes(b"x" * 100)
    with pytest.raises(CheckpointError, match="not a checkpoint of a run"):
        load_checkpoint(path)
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match="not a checkpoint of a run"):
        load_checkpoint(path)
    state = state_of(tiny.run(BASE, models))
    with pytest.raises(CheckpointError, match="does not match its settings"):
        resume(BASE, models, replace(state, values={}))


def test_optimizer_with_hidden_state_is_refused(models: Models) -> None:
    path = Path("a.checkpoint.safetensors")
    config = replace(BASE, optimizer="StableSPAM")
    with pytest.raises(UsageError, match="cannot be resumed exactly"):
        alone(rendering(config, OutputConfig(Path("a.png"), checkpoint=path), models))


def test_checkpoint_is_written_at_intervals(
    models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "EVERY", 0)
    path = Path("a.checkpoint.safetensors")
    seen: list[int] = []

    def on_frame(frame: vqclip.Frame) -> None:
        seen.append(load_checkpoint(path).state.step)

    alone(rendering(BASE, OutputConfig(Path("a.png"), checkpoint=path), models, on_frame))
    assert seen == [1, 2, 3, 4, 4]
