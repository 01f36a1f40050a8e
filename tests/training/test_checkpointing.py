"""Checkpoints restore the state exactly; damaged or foreign ones are refused."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from vqclip.errors import CheckpointError
from vqclip.training.checkpointing import (
    checkpoint_folders,
    load_training_state,
    random_state,
    save_training_state,
)
from vqclip.training.ema import WeightAverage


class State:
    """A network with an optimizer that has taken steps, and an average."""

    def __init__(self, optimizer: str = "AdamW", width: int = 3) -> None:
        self.networks = {"a": nn.Sequential(nn.Linear(width, 2), nn.BatchNorm1d(2))}
        build = getattr(torch.optim, optimizer)
        self.optimizers = {"main": build(self.networks["a"].parameters(), lr=0.1)}
        self.average = WeightAverage(self.networks, 0.5)

    def step(self) -> None:
        self.optimizers["main"].zero_grad()
        self.networks["a"](torch.randn(4, 3)).square().sum().backward()
        self.optimizers["main"].step()
        self.average.update(10)

    def save(self, folder: Path, step: int, keep: int = 2) -> Path:
        return save_training_state(
            folder, step, self.networks, self.optimizers, self.average, {"best": 0.1}, keep
        )

    def load(self, path: Path) -> dict[str, object]:
        return load_training_state(path, self.networks, self.optimizers, self.average)


@pytest.mark.parametrize("optimizer", ["AdamW", "SGD", "RMSprop"])
def test_state_round_trips_exactly(optimizer: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    state, other = State(optimizer), State(optimizer)
    state.step()
    loaded = other.load(state.save(tmp_path, 5))
    assert (loaded["step"], loaded["best"]) == (5, 0.1)
    for each in (state, other):
        torch.manual_seed(1)
        each.step()
    for key, value in state.networks["a"].state_dict().items():
        assert torch.equal(value, other.networks["a"].state_dict()[key])
        assert torch.equal(state.average.state["a"][key], other.average.state["a"][key])


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    state = State()
    for step in (1, 2, 10):
        state.save(tmp_path, step)
    assert [path.name for path in checkpoint_folders(tmp_path)] == ["step-0000002", "step-0000010"]


def test_no_pickle_is_written(tmp_path: Path) -> None:
    path = State().save(tmp_path, 1)
    assert sorted(file.name for file in path.iterdir()) == [
        "average.safetensors",
        "networks.safetensors",
        "optimizers.safetensors",
        "state.json",
    ]
    json.loads((path / "state.json").read_text())


def test_foreign_and_damaged_checkpoints(tmp_path: Path) -> None:
    path = State().save(tmp_path, 1)
    with pytest.raises(CheckpointError, match="size mismatch"):
        State(width=4).load(path)
    (path / "optimizers.safetensors").write_bytes(b"x")
    with pytest.raises(CheckpointError, match="use the config that it was made with"):
        State().load(path)


def test_each_step_has_its_own_seed() -> None:
    seeds = {random_state(*key) for key in ((0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0))}
    assert len(seeds) == 4
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_average_follows_and_is_applied_temporarily() -> None:
    network = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(network.weight)
    average = WeightAverage({"a": network}, 0.5)
    nn.init.ones_(network.weight)
    average.update(1000)
    with average.applied():
        assert network.weight.item() == 0.5
    assert network.weight.item() == 1.0
    average.update(0)  # the early decay is lower: 1/10
    assert float(average.state["a"]["weight"]) == pytest.approx(0.95)
