"""From a state dict and a config to a transformer: recognise, build, compare, load."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from vqclip.checkpoints.configs import ModelConfig
from vqclip.checkpoints.files import StateDict
from vqclip.checkpoints.fitting import check_finite, check_fit
from vqclip.checkpoints.models import (
    TRANSFORMER_TARGETS,
    VQGAN_TARGETS,
    as_float32,
    build_vqgan,
    kind,
    load_vqgan_weights,
    stage_config,
)
from vqclip.errors import CheckpointError, UsageError
from vqclip.models.conditions import ClassLabel, Coordinates, GivenCodes, StartToken
from vqclip.models.gpt import GPT, GPTConfig
from vqclip.models.light_torch import SkipInit
from vqclip.models.permuters import ORDERS, Permuter
from vqclip.models.transformer import Net2NetTransformer
from vqclip.models.vqgan import VQModel
from vqclip.registry import unknown

_GPT_TARGET = "taming.modules.transformer.mingpt.GPT"
_PERMUTERS = "taming.modules.transformer.permuter."
_MOST_CELLS = 1 << 20

# `target` is looked up here and nowhere else.
_CONDITION_TARGETS: dict[str, Callable[[ModelConfig], nn.Module]] = {
    "taming.modules.util.Labelator": lambda config: ClassLabel(_count(config, "n_classes")),
    "taming.modules.util.SOSProvider": lambda config: StartToken(_count(config, "sos_token", 0)),
    "taming.modules.misc.coord.CoordStage": lambda config: Coordinates(
        _count(config, "n_embed"), _count(config, "down_factor")
    ),
    "taming.models.dummy_cond_stage.DummyCondStage": lambda _: GivenCodes(),
}


def load_transformer_weights(
    state: StateDict,
    config: ModelConfig,
    first: VQModel | None = None,
    cond: VQModel | None = None,
) -> Net2NetTransformer:
    """Build the transformer that ``config`` describes and give it ``state``.

    Weights become float32; no memory is spent on initial values.

    Args:
        state: weights of the transformer, and of its VQGANs unless these are given.
        config: the transformer's config; weights alone do not tell the number of heads.
        first: the VQGAN of the pictures.
        cond: the VQGAN of the condition.

    Raises:
        CheckpointError: config and weights do not belong together, weights are missing, left
            over or not finite.
        UsageError: the config cannot work, or a VQGAN is given where there is none.

    """
    if kind(state) != "Net2NetTransformer":
        raise CheckpointError(f"it is not a transformer's checkpoint but that of a {kind(state)}")
    has_cond = has_cond_vqgan(config)
    if cond is not None and not has_cond:
        raise UsageError(f"{config.name} has no VQGAN as condition stage: do not give one")
    first = first or load_vqgan_weights(state, config, "first")
    if has_cond:
        cond = cond or load_vqgan_weights(state, config, "cond")
    model = build_transformer(config, first, cond)
    stages = ("first_stage_model.", *["cond_stage_model."] * (model.cond_stage_model in VQGAN))
    state = {key: value for key, value in state.items() if not key.startswith(stages)}
    ...
    return model
