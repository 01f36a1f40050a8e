"""Training the transformer: the recorded loss, groups and trace; conditions; what is learned."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from torch import Tensor

import vqclip
from tests import tiny
from tests.checkpoints.test_transformers import config_of
from vqclip.checkpoints import read_config
from vqclip.errors import CheckpointError, UsageError
from vqclip.training.settings import settings_of
from vqclip.training.transformer import (
    TransformerLoss,
    TransformerStage,
    mixed_embeddings,
    open_stage,
    weight_groups,
)

REFERENCE = Path(__file__).parent.parent / "reference"
CPU = torch.device("cpu")
Values = dict[str, Any]


def reference_stage(case: str) -> TransformerStage:
    folder = REFERENCE / case
    config = read_config(next((folder / "configs").glob("*.yaml")))
    model = {"target": config.target, "params": config.params}
    train = {"learning_rate": 1e-3}
    start = str(folder / "checkpoints" / "last.ckpt")
    return open_stage(
        settings_of("transformer", {"model": model, "start": start, "train": train}), CPU
    )


def reference_batch(case: str, stage: TransformerStage) -> Values:
    tensors = load_file(REFERENCE / case / "ref.safetensors")
    batch: Values = {"image": tensors["input"]}
    if case == "n2n_seg":
        count = stage.model.cond_stage_model.n_labels
        labels = tensors["labels"][:, :64, :64]
        batch["segmentation"] = torch.nn.functional.one_hot(labels, count).movedim(-1, 1).float()
    return batch


@pytest.mark.parametrize("case", ["n2n_uncond", "n2n_seg"])
def test_loss_and_trace_are_the_recorded_ones(case: str) -> None:
    meta = json.loads((REFERENCE / case / "meta.json").read_text())
    stage = reference_stage(case)
    batch = reference_batch(case, stage)
    objective = stage.objectives[0]
    trace = []
    for step in range(len(meta["adamw_trace"])):
        loss, metrics = objective.loss(batch, step)
        assert loss is not None
        trace.append(float(metrics["nll"]))
        objective.optimizer.zero_grad()
        loss.backward()
        objective.optimizer.step()
    assert trace[0] == pytest.approx(meta["loss_nll"], abs=1e-4)
    assert trace == pytest.approx(meta["adamw_trace"], abs=1e-4)


@pytest.mark.parametrize("case", ["n2n_uncond", "n2n_seg"])
def test_weight_groups_are_the_recorded_ones(case: str) -> None:
    recorded = json.loads((REFERENCE / case / "meta.json").read_text())["adamw_groups"]
    stage = reference_stage(case)
    names = {id(p): name for name, p in stage.model.transformer.named_parameters()}
    for ours, theirs in zip(stage.objectives[0].optimizer.param_groups, recorded, strict=True):
        assert sorted(names[id(p)] for p in ours["params"]) == theirs["names"]
        assert ours["weight_decay"] == theirs["weight_decay"]
        assert (ours["lr"], list(ours["betas"])) == (theirs["lr"], theirs["betas"])
