"""Checkpoints of runs, each a file of tensors and JSON.

``apple.checkpoint.safetensors`` holds z, its initial values, the running average, the optimizer's
moments and the random generator's state as tensors. The header holds the rest of the state, the
settings, the hashes of the weights and the paths of the output files as JSON. The file is written
under another name and renamed when complete. Loading it never executes code.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from vqclip.config import GenerateConfig, OutputConfig
from vqclip.config.prompts import Prompt
from vqclip.errors import CheckpointError, UsageError, one_line
from vqclip.files.atomic import replacing
from vqclip.files.formatting import as_json
from vqclip.files.serialization import detached
from vqclip.generation.state import State
from vqclip.media.metadata import check_metadata

_FORMAT = 1
EVERY = 10.0  # seconds between checkpoints; a killed run loses at most this plus one step
_KEY = "vqclip"
_VIDEOS = "films"  # name of the videos in the file
CONTINUED = "continued_from"  # metadata key for a run that starts from another run's state


@dataclass(frozen=True)
class Checkpoint:
    """A run that can be resumed.

    metadata: the metadata of the run's image; see :func:`vqclip.runs.render.metadata`.
    """

    config: GenerateConfig
    output: OutputConfig
    metadata: Mapping[str, Any]
    state: State


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint atomically, replacing any older one.

    Raises:
        OSError: the file cannot be written.
    """
    about = {
        "config": checkpoint.config.to_dict(),
        "output": _output_values(checkpoint.output, path.parent),
        "metadata": checkpoint.metadata,
    }
    save_state(path, checkpoint.state, about)


def save_state(path: Path, state: State, about: Mapping[str, Any] | None = None) -> None:
    """Write a state and the JSON values in ``about`` atomically, replacing any older file.

    Raises:
        OSError: the file cannot be written.
    """
    header = {"format": _FORMAT, "step": state.step, "values": state.values, **(about or {})}
    shown = {f"shown/{step}": codes.to(torch.int32) for step, codes in state.shown.items()}
    tensors = {**state.tensors, **detached(shown)}
    with replacing(path, overwrite=True) as temporary:
        # save_file would write to another temporary file, which a kill would leave behind.
        temporary.write_bytes(save(tensors, {_KEY: as_json(header)}))


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        UsageError: the file does not exist.
        CheckpointError: the file is not a checkpoint or is damaged.
    """
    if not path.is_file():
        raise UsageError(f"no such checkpoint: {path}")
    with _reading(path):
        header, tensors = _read(path)
        check_metadata(header["metadata"], path)
        return Checkpoint(
            GenerateConfig.from_dict(header["config"]),
            _read_output(header["output"], path),
            header["metadata"],
            _read_state(header, tensors),
        )


def load_state(path: Path) -> State:
    """Read the state in a file written by :func:`save_state`.

    Raises:
        CheckpointError: the file is not a checkpoint or is damaged.
    """
    with _reading(path):
        return _read_state(*_read(path))


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return a file's header and tensors."""
    with safe_open(path, framework="pt") as file:
        header = json.loads((file.metadata() or {})[_KEY])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if header["format"] != _FORMAT:
        raise CheckpointError(f"{path} was made by another version of vqclip")
    return header, tensors


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        reason = one_line(error, 150)
        raise CheckpointError(f"{path} is not a checkpoint of a run: {reason}") from error


def _read_state(header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> State:
    step, values = header["step"], header["values"]
    if not isinstance(step, int) or step < 0 or not isinstance(values, dict):
        raise ValueError("no steps, or no values")
    own = {name: t for name, t in tensors.items() if not name.startswith("shown/")}
    shown = {
        int(name.removeprefix("shown/")): codes.long()
        for name, codes in tensors.items()
        if name not in own
    }
    return State(step, own, values, shown)


def _output_values(output: OutputConfig, folder: Path) -> dict[str, Any]:
    """Return ``output``'s fields with paths relative to ``folder``, so the folder can be moved."""

    def relative(value: Any) -> Any:
        if isinstance(value, Path):
            return os.path.relpath(value, folder)
        return [relative(one) for one in value] if isinstance(value, tuple) else value

    values = {name: relative(value) for name, value in asdict(output).items()}
    return {_VIDEOS if name == "videos" else name: value for name, value in values.items()}


def _read_output(values: Mapping[str, Any], path: Path) -> OutputConfig:
    def place(value: str | None) -> Path | None:
        return None if value is None else Path(os.path.normpath(path.parent / value))

    picture = place(values["path"])
    if picture is None:
        raise ValueError("no path")
    return OutputConfig(
        **{
            **{name: value for name, value in values.items() if name != _VIDEOS},
            "path": picture,
            "frames": place(values["frames"]),
            "codes": place(values["codes"]),
            "checkpoint": path,
            "videos": tuple(video for value in values[_VIDEOS] if (video := place(value))),
        }
    )


def extended(checkpoint: Checkpoint, steps: int) -> Checkpoint:
    """Return the checkpoint with the run's number of steps changed to ``steps``.

    Raises:
        UsageError: the run has done more than ``steps`` steps, or its schedule depends on the
            number of steps.
    """
    done = checkpoint.state.step
    if steps < done:
        raise UsageError(f"{done} steps have already run: `steps` must be at least {done}")
    if checkpoint.config.schedule != "constant" and steps != checkpoint.config.steps:
        raise UsageError(
            f"the {checkpoint.config.schedule} schedule depends on the number of steps, "
            f"{checkpoint.config.steps}, so the run cannot be extended: start a new one "
            "with more `steps`"
        )
    return replace(checkpoint, config=replace(checkpoint.config, steps=steps))


def branched(
    checkpoint: Checkpoint, prompts: tuple[Prompt, ...] = (), learning_rate: float | None = None
) -> Checkpoint:
    """Return the checkpoint of a new run that continues from this state with other settings.

    The new run's metadata records the original run, because the new settings alone do not reproduce
    the image.

    prompts, learning_rate: settings for the new run, by default those of the original run.
    """
    old = checkpoint.metadata["settings"]
    rate = old["learning_rate"] if learning_rate is None else learning_rate
    config = replace(
        checkpoint.config, prompts=prompts or checkpoint.config.prompts, learning_rate=rate
    )
    before = {"prompt": checkpoint.metadata.get("prompt"), "learning_rate": old["learning_rate"]}
    metadata = {
        **checkpoint.metadata,
        "settings": {**old, "learning_rate": rate},
        CONTINUED: {"step": checkpoint.state.step, **before},
    }
    return replace(checkpoint, config=config, metadata=metadata)
