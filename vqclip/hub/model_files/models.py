"""Construction of VQGANs from a state dict and a config."""

from collections.abc import Collection, Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from vqclip.errors import CheckpointError, UsageError
from vqclip.hub.model_files.configs import ModelConfig
from vqclip.hub.model_files.files import StateDict
from vqclip.hub.model_files.fitting import check_fit, check_numbers, infer_config, kind
from vqclip.models.light_torch import SkipInit
from vqclip.models.vqgan import GumbelVQ, VQModel, VQSegmentationModel

StageName = Literal["first", "cond"]
STAGE_NAMES: tuple[StageName, ...] = ("first", "cond")

# `target` is looked up only here; several targets name the same model.
VQGAN_TARGETS: dict[str, type[VQModel]] = {
    "taming.models.vqgan.VQModel": VQModel,
    "taming.models.vqgan.VQNoDiscModel": VQModel,
    "taming.models.vqgan.EMAVQ": VQModel,
    "taming.models.vqgan.GumbelVQ": GumbelVQ,
    "taming.models.vqgan.VQSegmentationModel": VQSegmentationModel,
    "ldm.models.autoencoder.VQModel": VQModel,
    "ldm.models.autoencoder.VQModelInterface": VQModel,
}
TRANSFORMER_TARGETS = frozenset({"taming.models.cond_transformer.Net2NetTransformer"})

_TRAINING_ONLY = (
    "loss.",
    "model_ema.",
    "quantize.embedding.cluster_size",
    "quantize.embedding.embed_avg",
)
_MOST_CODES, _MOST_WIDTH = 1 << 24, 1 << 16  # no real model exceeds these
_PARAMS = ("ddconfig", "n_embed", "embed_dim", "remap", "unknown_index", "colorize_nlabels")


def load_vqgan_weights(
    state: StateDict, config: ModelConfig | None = None, stage: StageName = "first"
) -> VQModel:
    """Build a VQGAN from the weights ``state``, and infer its config if ``config`` is None.

    For a transformer's checkpoint, the result is the first stage or, with ``stage="cond"``, the
    VQGAN that encodes conditions. Weights are converted to float32; no memory is allocated for
    initial values.

    Raises:
        CheckpointError: config and weights do not match; weights are missing, unexpected or not
            finite; or the stage does not exist.
        UsageError: the config is invalid.
    """
    if kind(state) == "Net2NetTransformer":
        state = stage_state(state, stage)
    state = {key: value for key, value in state.items() if not key.startswith(_TRAINING_ONLY)}
    config = stage_config(config, stage) if config else infer_config(state)
    model = build_vqgan(config, state.get("quantize.used"))
    if model.quantize.has_remap:
        state.setdefault("quantize.used", model.quantize.used)
    check_fit(model.state_dict(), state, config)
    state = {key: plain_tensor(value) for key, value in state.items()}
    check_numbers(state)
    model.load_state_dict(state, strict=True, assign=True)
    return model


def stage_state(state: StateDict, stage: StageName) -> StateDict:
    """Return the weights of one stage in a transformer's checkpoint.

    Raises:
        CheckpointError: the checkpoint contains no VQGAN for this stage.
    """
    prefix = f"{stage}_stage_model."
    part = {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}
    if not part:
        raise CheckpointError(
            f"the checkpoint has no {prefix}* weights: it contains no VQGAN for this stage"
        )
    return part


def stage_config(config: ModelConfig, stage: StageName) -> ModelConfig:
    """Return a VQGAN's config, taken from a transformer's config if necessary.

    Raises:
        CheckpointError: the config describes no model for this stage.
    """
    if config.target not in TRANSFORMER_TARGETS:
        return config
    if config.params.get(f"{stage}_stage_config") == "__is_first_stage__":
        stage = "first"
    return config.part(f"{stage}_stage_config")


def build_vqgan(config: ModelConfig, used: Tensor | None = None) -> VQModel:
    """Build a VQGAN on torch's meta device, which allocates no memory for weights.

    Args:
        config: the class and its parameters; irrelevant parameters are ignored.
        used: ids of the codes in use, if the checkpoint contains them (see ``remap``).

    Raises:
        CheckpointError: the class is not a VQGAN.
        UsageError: a parameter is missing or invalid.
    """
    cls, params = _class_and_params(config, used)
    with SkipInit(), torch.device("meta"):
        return cls(**params)


def new_vqgan(config: ModelConfig) -> VQModel:
    """Build a VQGAN for training, with random weights from torch's generator.

    Raises:
        CheckpointError, UsageError: under the same conditions as :func:`build_vqgan`.
    """
    cls, params = _class_and_params(config)
    return cls(**params)


def _class_and_params(
    config: ModelConfig, used: Tensor | None = None
) -> tuple[type[VQModel], dict[str, Any]]:
    check_target(config, VQGAN_TARGETS, "VQGAN")
    cls = VQGAN_TARGETS[config.target]
    params = {key: config.params[key] for key in _PARAMS if config.params.get(key) is not None}
    if cls is VQSegmentationModel:
        params["n_labels"] = config.params.get("n_labels")
    if "remap" in params:
        params["remap"] = config.file(str(params["remap"])) if used is None else used
    _check_params(params, config)
    return cls, params | {"image_key": str(config.params.get("image_key", "image"))}


def check_target(config: ModelConfig, known: Collection[str], what: str) -> None:
    """Raise CheckpointError unless a config's class is in ``known``."""
    if config.target not in known:
        raise CheckpointError(
            f"{config.name} describes a {config.target!r:.100}, which is not a known {what}; "
            f"known: {', '.join(sorted(known))}"
        )


def _check_params(params: Mapping[str, Any], config: ModelConfig) -> None:
    if not isinstance(params.get("ddconfig"), Mapping):
        raise UsageError(f"{config.name} has no ddconfig; use the model's complete config")
    for key in ("n_embed", "embed_dim", *sorted({"n_labels", "colorize_nlabels"} & set(params))):
        value = params.get(key)
        most = _MOST_WIDTH if key == "embed_dim" else _MOST_CODES
        if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= most:
            raise UsageError(
                f"{config.name} has {key} {value!r:.80}; use a whole number up to {most}"
            )


def plain_tensor(value: Tensor) -> Tensor:
    """Convert a tensor, which may be any view into the file, to contiguous float32 or int64."""
    return (value.float() if value.is_floating_point() else value.long()).contiguous()
