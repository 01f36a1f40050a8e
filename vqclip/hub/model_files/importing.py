"""Conversion of a checkpoint to ``model.safetensors`` and ``config.yaml``."""

from collections import Counter
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
from vqclip.hub.model_files.configs import ModelConfig, config_for, standalone
from vqclip.hub.model_files.files import FileContent, StateDict, read_checkpoint
from vqclip.hub.model_files.fitting import check_numbers, infer_config
from vqclip.hub.model_files.models import (
    STAGE_NAMES,
    TRANSFORMER_TARGETS,
    StageName,
    load_vqgan_weights,
    stage_config,
    stage_state,
)
from vqclip.hub.model_files.published import advice, is_transformer, lookalikes
from vqclip.hub.model_files.transformers import (
    holds_stage,
    load_transformer_weights,
    stage_reference,
)
from vqclip.hub.store import CONFIG, WEIGHTS
from vqclip.models.vqgan import VQModel

_DROPPED = {
    "loss.": "loss and discriminator",
    "model_ema.": "moving average",
    "quantize.embedding.": "codebook statistics",
    "cond_stage_model.": "duplicate stage",
    "optimizer": "optimizer",
}


@dataclass(frozen=True)
class Converted:
    """The result of converting a checkpoint.

    Attributes:
        kind: the kind of model, ``vqgan`` or ``transformer``.
        target: the class, as named in the config.
        parameters: number of parameters.
        dropped: the parts that were left out, with their sizes in bytes.
        looks_like: published models with weights of the same shapes.
        rgb: whether the model generates RGB images rather than depth or label maps.
    """

    kind: Literal["vqgan", "transformer"]
    target: str
    parameters: int
    dropped: Mapping[str, int]
    looks_like: tuple[str, ...]
    rgb: bool = True


@dataclass(frozen=True)
class SelfContained:
    """A transformer's config that works in any folder, and the VQGANs it refers to.

    config: the config, with full descriptions of VQGANs that were referenced by path.
    elsewhere: stages whose weights are not stored, because their VQGAN is referenced by a name that
        works on any computer or is the same as that of the first stage.
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

    The weights keep their precision unless ``half`` is set. The checkpoint is memory-mapped if its
    format allows it, so dropped parts are not read.

    Args:
        checkpoint: a checkpoint (taming-transformers, latent-diffusion or Lightning), a state dict
            or a safetensors file. The file must contain a VQGAN, or a transformer over the codes of
            a VQGAN.
        config: the checkpoint's YAML. Default: the one beside it; if there is none, a VQGAN's
            config is inferred from its weights.
        folder: an existing folder without ``model.safetensors`` or ``config.yaml``.
        half: whether to store the weights in half precision.
        whole: a version of the transformer's config that works in any folder, if the original
            config refers to VQGANs.

    Raises:
        UsageError: the file or a transformer's config does not exist, or the config is invalid.
        UnsafeCheckpointError: a file would run code; nothing was run.
        CheckpointError: a file is damaged or unsupported, or config and weights do not match.
        VqclipError: the files cannot be written.
    """
    read = read_checkpoint(checkpoint)
    try:
        own = _config(checkpoint, config, read.state)
        is_whole = own.target in TRANSFORMER_TARGETS
        if is_whole:
            whole = whole or SelfContained(own)
            state = _transformer(read.state, own, whole)
        else:
            state = _vqgan(read.state, own)
        kept = _separate({key: _stored(value, half) for key, value in state.items()})
        check_numbers(kept if half else {})  # other weights were checked when loaded
    except CheckpointError as error:
        raise type(error)(f"cannot import {checkpoint}: {error}") from None
    write_model(kept, whole.config if whole else own, folder)
    return Converted(
        kind="transformer" if is_whole else "vqgan",
        target=own.target,
        parameters=sum(value.numel() for value in kept.values() if value.is_floating_point()),
        dropped=_dropped(read, state),
        looks_like=lookalikes(kept),
        rgb=stage_reference(own) is not None or _is_rgb(stage_config(own, "first")),
    )


def _is_rgb(config: ModelConfig) -> bool:
    shape = config.params.get("ddconfig") or {}
    return bool(shape.get("in_channels") == shape.get("out_ch") == 3)


def _config(checkpoint: Path, config: Path | None, state: StateDict) -> ModelConfig:
    """Return the given config, the one beside the checkpoint, or one inferred from the weights."""
    own = config_for(checkpoint, config)
    if not is_transformer(state):
        return stage_config(own or infer_config(_first_stage_state(state)), "first")
    if own is None:
        raise UsageError(
            f"{checkpoint} has no config beside it, and a transformer needs one; add its "
            f"YAML config{advice(state)}"
        )
    return own


def _vqgan(state: StateDict, config: ModelConfig) -> StateDict:
    """Return the weights to store for a VQGAN, or for the first stage of a larger model."""
    model = load_vqgan_weights(state, config)
    own = _first_stage_state(state)
    return {key: own.get(key, value) for key, value in model.state_dict().items()}


def _first_stage_state(state: StateDict) -> StateDict:
    return stage_state(state, "first") if holds_stage(state, "first") else state


def _transformer(state: StateDict, config: ModelConfig, whole: SelfContained) -> StateDict:
    """Return the weights to store for a transformer and its VQGANs, without duplicates."""
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
    """Return the weights with separate memory for each tensor, as safetensors requires."""
    seen: set[int] = set()
    separate = {}
    for key, value in state.items():
        place = value.untyped_storage().data_ptr()
        separate[key] = value.clone() if place in seen else value
        seen.add(place)
    return separate


def write_model(state: Mapping[str, Tensor], config: ModelConfig, folder: Path) -> None:
    """Write ``model.safetensors`` and ``config.yaml`` to ``folder``, or neither if anything fails.

    Raises:
        VqclipError: the files cannot be written.
    """
    text = yaml.safe_dump({"model": standalone(config)})
    tensors = {key: value.detach().cpu().contiguous() for key, value in state.items()}
    weights, yaml_file = folder / WEIGHTS, folder / CONFIG
    with writing(), replacing(weights) as weights_part, replacing(yaml_file) as yaml_part:
        yaml_part.write_text(text, encoding="utf-8")
        try:
            save_file(tensors, weights_part)
        except SafetensorError as error:
            raise OSError(str(error)) from None


def _dropped(read: FileContent, kept: StateDict) -> dict[str, int]:
    """Return the size in bytes of each dropped part, by description."""
    sizes: Counter[str] = Counter()
    names = set(kept) | {f"first_stage_model.{key}" for key in kept}
    for key, value in read.state.items():
        if key not in names:
            sizes[_describe_key(key.removeprefix("first_stage_model."))] += value.nbytes
    for key, size in read.rest.items():
        sizes[_describe_key(key)] += size
    return {what: size for what, size in sizes.items() if size}


def _describe_key(key: str) -> str:
    known = (what for start, what in _DROPPED.items() if key.startswith(start))
    return next(known, key.partition(".")[0])
