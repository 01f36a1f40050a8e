"""The loop resumes exactly with every feature, and writes the expected files."""

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.toy import ToyData, ToyStage
from vqclip.errors import UsageError, VqclipError
from vqclip.training.loop import TrainingProgress, fit, learning_rate_factor
from vqclip.training.settings import LoopSettings, settings_of

QUICK = {
    "steps": 6,
    "batch_size": 2,
    "log_every": 1,
    "validate_every": 2,
    "sample_every": 3,
    "checkpoint_every": 4,
    "device": "cpu",
}


def run(folder: Path, resume: bool = False, **train: Any) -> list[TrainingProgress]:
    settings = settings_of("toy", {"train": QUICK | train})
    return list(fit(ToyStage(), ToyData(), settings, folder, resume=resume))


def files(folder: Path) -> dict[str, bytes]:
    """Return all files of a run except TensorBoard's, which contain the time."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "tensorboard" not in path.parts
    }


def test_files_of_a_run(tmp_path: Path) -> None:
    progress = run(tmp_path)
    assert [p.step for p in progress] == [1, 2, 3, 4, 5, 6]
    assert progress[1].validation
    assert not progress[0].validation
    assert [p.checkpoint.name for p in progress if p.checkpoint] == ["step-0000004", "step-0000006"]
    names = set(files(tmp_path))
    assert {"metrics.csv", "validation.csv", "best/model.safetensors"} <= names
    assert {"last/model.safetensors", "samples/step-0000003.png"} <= names
    with (tmp_path / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == list("123456")
    assert float(rows[-1]["error"]) < float(rows[0]["error"])


@pytest.mark.parametrize(
    "train",
    [
        {},
        {"ema": 0.9, "accumulate": 3, "warmup": 2, "schedule": "cosine", "clip_gradients": 0.1},
        {"precision": "bfloat16", "schedule": "linear", "final_learning_rate": 0.1},
    ],
)
def test_resumed_equals_uninterrupted(train: dict[str, Any], tmp_path: Path) -> None:
    run(tmp_path / "whole", **train)
    settings = settings_of("toy", {"train": QUICK | train})
    asked = iter([False, False, True])
    stopped = list(
        fit(ToyStage(), ToyData(), settings, tmp_path / "parts", stop=lambda: next(asked))
    )
    assert stopped[-1].stopped
    assert stopped[-1].checkpoint
    assert stopped[-1].step == 3
    resumed = run(tmp_path / "parts", resume=True, **train)
    assert [p.step for p in resumed] == [4, 5, 6]
    whole, parts = files(tmp_path / "whole"), files(tmp_path / "parts")
    assert whole.keys() == parts.keys()
    assert [name for name in whole if whole[name] != parts[name]] == []


def test_rows_after_the_checkpoint_are_rewritten(tmp_path: Path) -> None:
    run(tmp_path / "whole")
    settings = settings_of("toy", {"train": QUICK})
    for progress in fit(ToyStage(), ToyData(), settings, tmp_path / "parts"):
        if progress.step == 5:  # one step after a checkpoint
            break
    with (tmp_path / "parts" / "metrics.csv").open("a") as file:
        file.write("5,0.1")  # a truncated row
    run(tmp_path / "parts", resume=True)
    assert files(tmp_path / "whole") == files(tmp_path / "parts")


def test_the_exported_model_is_the_average(tmp_path: Path) -> None:
    run(tmp_path / "plain")
    run(tmp_path / "averaged", ema=0.9)
    same = "checkpoints/step-0000006/networks.safetensors"
    plain, averaged = files(tmp_path / "plain"), files(tmp_path / "averaged")
    assert plain[same] == averaged[same]
    assert plain["last/model.safetensors"] != averaged["last/model.safetensors"]


def test_accumulated_gradients_match_a_large_batch(tmp_path: Path) -> None:
    class Plain(ToyStage):
        def __init__(self) -> None:
            super().__init__()
            self.model = torch.nn.Conv2d(3, 3, 3, padding=1)
            torch.nn.init.ones_(self.model.weight)
            self.networks = {"model": self.model}
            sgd = torch.optim.SGD(self.model.parameters(), 0.01)
            self.objectives = [replace(self.objectives[0], optimizer=sgd, loss=self.plain)]

        def plain(self, batch: Any, step: int) -> Any:
            error = (self.model(batch["image"]) - batch["image"]).square().mean()
            return error, {"error": error.detach()}

    results = []
    for batch_size, accumulate in ((4, 1), (1, 4)):
        stage = Plain()
        train = QUICK | {"batch_size": batch_size, "accumulate": accumulate}
        settings = settings_of("toy", {"train": train})
        progress = list(fit(stage, ToyData(), settings, tmp_path / str(accumulate)))
        results.append((stage.model.weight.detach(), progress[-1].metrics["error"]))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other)


def test_objectives_train_only_their_own_parameters(tmp_path: Path) -> None:
    stage = ToyStage()
    before = stage.judge.weight.detach().clone()
    settings = settings_of("toy", {"train": QUICK | {"steps": 2}})
    list(fit(stage, ToyData(), settings, tmp_path))
    torch.testing.assert_close(stage.judge.weight.detach(), before, rtol=0, atol=0)
    assert all(p.requires_grad for p in stage.judge.parameters())


def test_non_finite_loss_ends_the_run(tmp_path: Path) -> None:
    stage = ToyStage(learning_rate=1e30)
    settings = settings_of("toy", {"train": QUICK})
    with pytest.raises(VqclipError, match=r"error is (nan|inf) at step"):
        list(fit(stage, ToyData(), settings, tmp_path))


def test_learning_rate_factor() -> None:
    cosine = LoopSettings(steps=11, warmup=2, schedule="cosine", final_learning_rate=0.2)
    factors = [learning_rate_factor(step, cosine) for step in range(11)]
    assert factors[:3] == [0.5, 1.0, 1.0]
    assert factors[-1] == pytest.approx(0.2)
    assert factors[6] == pytest.approx(0.6)
    linear = replace(cosine, schedule="linear", final_learning_rate=0.0)
    assert learning_rate_factor(6, linear) == pytest.approx(0.5)


def test_missing_accelerate_gives_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("vqclip.training.distributed.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'vqclip\[train\]'"):
        run(tmp_path)
