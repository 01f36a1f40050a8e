"""Conversion of a checkpoint to ``model.safetensors`` and ``config.yaml``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import yaml
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from vqclip.errors import CheckpointError, UsageError
from vqclip.files.atomic import replacing, writing
from vqclip.hub.checkpoints.configs import ModelConfig, config_for, standalone
from vqclip.hub.checkpoints.files import StateDict, read_state_dict
from vqclip.hub.checkpoints.fitting import check_numbers, infer_config
from vqclip.hub.checkpoints.models import (
    STAGE_NAMES,
    TRANSFORMER_TARGETS,
    StageName,
    load_vqgan_weights,
    stage_config,
    stage_state,
)
from vqclip.hub.checkpoints.transformers import (
    holds_stage,
    load_transformer_weights,
    stage_reference,
)
from vqclip.hub.store import CONFIG, WEIGHTS
from vqclip.models.vqgan import VQModel


@dataclass(frozen=True)
class Converted:
    """The result of converting a checkpoint.

    Attributes:
        kind: the kind of model: loaded with ``load_vqgan`` or with ``load_transformer``.
        target: the class, as named in the config.
        parameters: number of parameters.
        rgb: whether the model generates RGB images rather than depth or label maps.
    """

    kind: Literal["vqgan", "transformer"]
    target: str
    parameters: int
    rgb: bool = True


@dataclass(frozen=True)
class SelfContained:
    """A transformer's config that works in any folder, and the VQGANs it refers to.

    config: the config, with full descriptions of VQGANs that were referenced by path.
    elsewhere: stages whose weights are not stored, because they are referenced by a name that
        works on any computer or are the same as the first stage.
    vqgans: the VQGANs that the original config referred to.
    """

    config: ModelConfig
    elsewhere: frozenset[StageName] = frozenset()
    vqgans: Mapping[StageName, VQModel] = field(default_factory=dict)

    def stored(self, state: StateDict) -> StateDict:
        """Return the weights that belong in the transformer's file."""
        left = tuple(f"{stage}_stage_model." for stage in self.elsewhere)
        return {key: value for key, value in state.items() if not key.startswith(left)}


def convert(
    checkpoint: Path,
    config: Path | None,
    folder: Path,
    *,
    half: bool = False,
    whole: SelfContained | None = None,
) -> Converted:
    """Write the weights in ``checkpoint`` and their config to ``folder``; return a summary.

    The numbers keep their precision unless ``half`` is set. The file is memory-mapped, so dropped
    parts are never read.

    Args:
        checkpoint: any taming-transformers, latent-diffusion or Lightning checkpoint, state dict
            or safetensors file that contains a VQGAN or a transformer over its codes.
        config: the checkpoint's YAML. Default: the one beside it; if there is none, a VQGAN's
            config is inferred from its weights.
        folder: an existing folder without ``model.safetensors`` and ``config.yaml``.
        half: whether to store the numbers in half precision.
        whole: a transformer's config that works in any folder, if its own config refers to VQGANs.

    Raises:
        UsageError: the file or a transformer's config does not exist, or the config is invalid.
        UnsafeCheckpointError: a file would run code; nothing was run.
        CheckpointError: a file is damaged or unsupported, or config and weights do not match.
        VqclipError: the files cannot be written.
    """
    read = read_state_dict(checkpoint)
    try:
        own = _config(checkpoint, config, read)
        is_whole = own.target in TRANSFORMER_TARGETS
        if is_whole:
            whole = whole or SelfContained(own)
            state = _transformer(read, own, whole)
        else:
            state = _vqgan(read, own)
        kept = _separate({key: _stored(value, half) for key, value in state.items()})
        check_numbers(kept if half else {})  # other weights were checked when loaded
    except CheckpointError as error:
        raise type(error)(f"cannot import {checkpoint}: {error}") from None
    _write(kept, whole.config if whole else own, folder)
    return Converted(
        kind="transformer" if is_whole else "vqgan",
        target=own.target,
        parameters=sum(value.numel() for value in kept.values() if value.is_floating_point()),
        rgb=stage_reference(own) is not None or _is_rgb(stage_config(own, "first")),
    )


def _is_rgb(config: ModelConfig) -> bool:
    shape = config.params.get("ddconfig") or {}
    return bool(shape.get("in_channels") == shape.get("out_ch") == 3)


def _config(checkpoint: Path, config: Path | None, state: StateDict) -> ModelConfig:
    """Return the config to write: given, found, or inferred from a VQGAN's weights."""
    own = config_for(checkpoint, config)
    if "transformer.tok_emb.weight" not in state:
        return stage_config(own or infer_config(_first_stage_state(state)), "first")
    if own is None:
        raise UsageError(
            f"{checkpoint} has no config beside it, and a transformer needs one; add its YAML"
        )
    return own


def _vqgan(state: StateDict, config: ModelConfig) -> StateDict:
    """Return a VQGAN's weights, or those of a larger model's first stage, ready to store."""
    model = load_vqgan_weights(state, config)
    own = _first_stage_state(state)
    return {key: own.get(key, value) for key, value in model.state_dict().items()}


def _first_stage_state(state: StateDict) -> StateDict:
    return stage_state(state, "first") if holds_stage(state, "first") else state


def _transformer(state: StateDict, config: ModelConfig, whole: SelfContained) -> StateDict:
    """Return the weights of a transformer and its VQGANs, without duplicates, ready to store."""
    first, cond = (whole.vqgans.get(stage) for stage in STAGE_NAMES)
    model = load_transformer_weights(state, config, first, cond)
    shared = model.cond_stage_model is model.vqgan
    return {
        key: state.get(key, value)
        for key, value in whole.stored(model.state_dict()).items()
        if not (shared and key.startswith("cond_stage_model."))
    }


def _stored(value: Tensor, half: bool) -> Tensor:
    return (value.half() if half and value.is_floating_point() else value).contiguous()


def _separate(state: StateDict) -> StateDict:
    """Return the weights without shared memory, as safetensors requires."""
    seen: set[int] = set()
    separate = {}
    for key, value in state.items():
        place = value.untyped_storage().data_ptr()
        separate[key] = value.clone() if place in seen else value
        seen.add(place)
    return separate


def _write(state: StateDict, config: ModelConfig, folder: Path) -> None:
    """Write both files, or neither if anything fails."""
    text = yaml.safe_dump({"model": standalone(config)})
    weights, yaml_file = folder / WEIGHTS, folder / CONFIG
    with writing(), replacing(weights) as weights_part, replacing(yaml_file) as yaml_part:
        yaml_part.write_text(text, encoding="utf-8")
        try:
            save_file(state, weights_part)
        except SafetensorError as error:
            raise OSError(str(error)) from None
