"""A run's state between two steps."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from vqclip.config import GenerateConfig
from vqclip.errors import CheckpointError
from vqclip.files.serialization import detached, from_json, put_back, to_json
from vqclip.generation.latents import grid_of
from vqclip.generation.prompt_embeddings import embed_prompts
from vqclip.generation.step import Run
from vqclip.hub.loaders import Models
from vqclip.models.light_torch import without_compiler


@dataclass(frozen=True)
class State:
    """The state on which a run's next step depends, and the frames for its videos.

    step: number of optimizer steps done.
    tensors, values: see :func:`state_of`.
    shown: codes (1, h/f, w/f) of the frames that videos and frame folders show, by step.
    """

    step: int
    tensors: Mapping[str, Tensor]
    values: Mapping[str, Any]
    shown: Mapping[int, Tensor] = field(default_factory=dict)


def state_of(run: Run) -> State:
    """Return a copy of the state that the next step depends on.

    Call this only between steps: during a step, the state is inconsistent.
    """
    tensors = {"z": run.z, "start": run.start, "average": run.average.sum}
    tensors["generator"] = run.generator.get_state()
    with without_compiler():
        optimizer = to_json(run.optimizer.state_dict(), tensors, "optimizer")
    values = {"mass": run.average.mass, "chunk": run.chunk, "optimizer": optimizer}
    return State(run.steps_done, detached(tensors), values)


def resumed(config: GenerateConfig, models: Models, state: State) -> Run:
    """Restore a run from a state returned by :func:`state_of`.

    Raises:
        CheckpointError: the state does not match the settings.
    """
    start = state.tensors["start"]
    if start.shape[-2:] != grid_of(config, models.vqgan):
        raise CheckpointError("the checkpoint does not match its settings: the size differs")
    run = Run(config, models, embed_prompts(models, config.prompts), start.to(models.device))
    try:
        _restore(run, state)
    except (KeyError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"the checkpoint does not match its settings: {error}") from error
    return run


def _restore(run: Run, state: State) -> None:
    tensors, values, device = state.tensors, state.values, run.models.device
    with torch.no_grad():
        run.z.copy_(tensors["z"])
    run.average.sum, run.average.mass = tensors["average"].to(device), values["mass"]
    run.generator.set_state(tensors["generator"])
    with without_compiler():
        put_back(run.optimizer, from_json(values["optimizer"], tensors, device))
    run.steps_done, run.chunk = state.step, values["chunk"]
