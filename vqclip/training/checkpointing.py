"""Training checkpoints without pickle.

``checkpoints/step-0000500/`` contains ``networks.safetensors`` and ``average.safetensors`` (keys
``network/weight``), ``optimizers.safetensors`` and ``state.json``. Each folder is written under a
temporary name and renamed once it is complete.
"""

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.optim import Optimizer

from vqclip.errors import CheckpointError, UsageError, one_line, reason_of
from vqclip.files.atomic import replacing_folder
from vqclip.files.serialization import from_json, to_json
from vqclip.training.ema import Networks, WeightAverage

_FORMAT = 2
_STEP = re.compile(r"step-(\d+)")


def save_training_state(
    folder: Path,
    step: int,
    networks: Networks,
    optimizers: Mapping[str, Optimizer],
    average: WeightAverage,
    extra: Mapping[str, Any],
    keep: int,
) -> Path:
    """Write a checkpoint of step ``step`` to ``folder``; keep only the ``keep`` newest checkpoints.

    Raises:
        UsageError: the checkpoint cannot be written.
    """
    path = folder / f"step-{step:07d}"
    tensors: dict[str, Tensor] = {}
    values = {
        name: to_json(optimizer.state_dict(), tensors, name)
        for name, optimizer in optimizers.items()
    }
    state = {"format": _FORMAT, "step": step, "optimizers": values, **extra}
    try:
        with replacing_folder(path) as temporary:
            weights = {name: network.state_dict() for name, network in networks.items()}
            _save(_flat(weights), temporary / "networks.safetensors")
            _save(_flat(average.state), temporary / "average.safetensors")
            _save(tensors, temporary / "optimizers.safetensors")
            (temporary / "state.json").write_text(json.dumps(state, indent=1))
    except OSError as error:
        raise UsageError(f"cannot write {path}: {reason_of(error)}") from error
    for old in checkpoint_folders(folder)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return path


def load_training_state(
    path: Path, networks: Networks, optimizers: Mapping[str, Optimizer], average: WeightAverage
) -> dict[str, Any]:
    """Restore networks, optimizers and average from a checkpoint; return its parsed ``state.json``.

    Raises:
        CheckpointError: the checkpoint is damaged, or belongs to another model or other settings.
    """
    try:
        state: dict[str, Any] = json.loads((path / "state.json").read_text())
        weights = _nested(load_file(path / "networks.safetensors"))
        for name, network in networks.items():
            network.load_state_dict(weights.get(name, {}))
        tensors = load_file(path / "optimizers.safetensors")
        for name, optimizer in optimizers.items():
            optimizer.load_state_dict(from_json(state["optimizers"][name], tensors))
        if average.state:
            average.load(_nested(load_file(path / "average.safetensors")))
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        reason = one_line(error, 200)
        raise CheckpointError(
            f"cannot resume from {path}: {reason}; use the config that it was made with"
        ) from error
    return state


def checkpoint_folders(folder: Path) -> list[Path]:
    """Return the complete checkpoints in ``folder``, newest last."""
    found = [path for path in folder.glob("step-*") if _STEP.fullmatch(path.name)]
    return sorted(found, key=lambda path: int(path.name.partition("-")[2]))


def _save(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Save contiguous CPU copies, because safetensors rejects shared or strided tensors."""
    save_file({key: value.detach().cpu().contiguous() for key, value in tensors.items()}, path)


def _flat(nested: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
    return {f"{name}/{key}": value for name, part in nested.items() for key, value in part.items()}


def _nested(flat: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    nested: dict[str, dict[str, Tensor]] = {}
    for name, value in flat.items():
        network, _, key = name.partition("/")
        nested.setdefault(network, {})[key] = value
    return nested


def random_state(seed: int, step: int, process: int = 0) -> int:
    """Return the seed of torch's generator for one step in one process.

    >>> random_state(0, 1) != random_state(1, 0)
    True
    """
    values: Sequence[int] = (seed, step, process)
    mixed = 0
    for value in values:  # splitmix64
        mixed = (mixed + value + 0x9E3779B97F4A7C15) % 2**64
        mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB % 2**64
        mixed ^= mixed >> 31
    return mixed % 2**63


def seed_step(seed: int, step: int, process: int = 0) -> None:
    """Seed torch's generators so that their random numbers depend only on the arguments."""
    torch.manual_seed(random_state(seed, step, process))
