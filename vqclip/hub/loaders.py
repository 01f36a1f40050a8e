"""Loading models by name, file or folder, or as named in a config."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from vqclip.config import DEFAULT, GenerateConfig, SampleConfig
from vqclip.config.checks import one_of
from vqclip.errors import CheckpointError, UsageError
from vqclip.files.environment import user_path
from vqclip.hub import model_files
from vqclip.hub.model_files import ModelConfig, StageName
from vqclip.hub.paths import check_unchanged, stored, transformer_path, vqgan_path
from vqclip.hub.run_defaults import transformer_of
from vqclip.models.arithmetic import own_arithmetic
from vqclip.models.condition_stages import ClipEmbedding
from vqclip.models.perceptor import Perceptor, open_perceptor
from vqclip.models.runtime import accelerate, resolve_device, resolve_precision
from vqclip.models.transformer import Net2NetTransformer
from vqclip.models.vqgan import VQModel, check_rgb, codebook_hash

_Network = TypeVar("_Network", bound=nn.Module)


@own_arithmetic()
def load_vqgan(
    source: str | Path = DEFAULT,
    config: str | Path | Mapping[str, Any] | None = None,
    device: str | torch.device = "cpu",
    *,
    stage: StageName = "first",
) -> VQModel:
    """Load a frozen VQGAN in evaluation mode and float32.

    Args:
        source: ``"default"`` for the model included with vqclip, a checkpoint file, a folder with
            weights and a config, or the name of a stored model (``vqclip weights``); a file with
            that name takes precedence.
        config: path of the model's YAML file, or its content. Default: the file beside the
            weights; if there is none, the architecture is inferred from the weights.
        device: device for the model.
        stage: which VQGAN to load from a transformer's checkpoint: the image VQGAN (``"first"``)
            or the condition VQGAN (``"cond"``).

    Raises:
        UsageError: the model, file or device does not exist, or the config or stage is invalid.
        UnsafeCheckpointError: a file would run code; nothing was run.
        CheckpointError: a file is damaged, or config and weights do not match.
    """
    one_of("stage", stage, model_files.STAGE_NAMES)
    device = resolve_device(device)
    path = vqgan_path(source)
    check_unchanged(source)
    model_config = _config(path, config)
    if model_config and (elsewhere := referred(model_config, stage)):
        return elsewhere.to(device)
    state = model_files.read_state_dict(path)
    try:
        model = model_files.load_vqgan_weights(state, model_config, stage)
    except CheckpointError as error:
        raise type(error)(f"cannot load {path}: {error}") from None
    return _frozen(model).to(device)


@own_arithmetic()
def load_transformer(
    source: str | Path = DEFAULT,
    config: str | Path | Mapping[str, Any] | None = None,
    device: str | torch.device = "cpu",
    *,
    first_stage: str | Path | None = None,
    cond_stage: str | Path | None = None,
) -> Net2NetTransformer:
    """Load a frozen transformer with its VQGANs in evaluation mode and float32.

    Args:
        source: ``"default"`` for the model included with vqclip, a checkpoint file, a folder with
            weights and a config, or the name of a stored model (``vqclip weights``); a file with
            that name takes precedence.
        config: path of the model's YAML file, or its content. Default: the file beside the weights.
        device: device for the model.
        first_stage: weights of the image VQGAN. Default: those in the checkpoint or, if it has
            none, in the file that the config names as ``ckpt_path``.
        cond_stage: weights of the condition VQGAN, with the same defaults.

    Raises:
        UsageError: the file, its config or the device does not exist, or the config is invalid.
        UnsafeCheckpointError: a file would run code; nothing was run.
        CheckpointError: a file is damaged, or config and weights do not match.
    """
    device = resolve_device(device)
    path = transformer_path(source)
    check_unchanged(source)
    model_config = _config(path, config)
    if model_config is None:
        raise UsageError(
            f"{path} has no config beside it, and a transformer needs one; add its YAML config"
        )
    if "transformer_config" not in model_config.params:
        kind = model_config.target.split(".")[-1]
        raise UsageError(f"{path} is a {kind}, not a transformer: train a transformer on its codes")
    state = model_files.read_state_dict(path)
    try:
        model = model_files.load_transformer_weights(
            state,
            model_config,
            _separate_stage(first_stage, state, model_config, "first"),
            _separate_stage(cond_stage, state, model_config, "cond"),
        )
    except CheckpointError as error:
        raise type(error)(f"cannot load {path}: {error}") from None
    return _frozen(model).to(device)


def new_transformer(config: ModelConfig) -> Net2NetTransformer:
    """Build an untrained transformer with the VQGANs named in its config.

    Raises:
        UsageError: a VQGAN is not named in the config or does not exist, or the config is invalid.
        CheckpointError: a VQGAN's file is damaged or contains no VQGAN.
    """
    stages = {stage: _separate_stage(None, {}, config, stage) for stage in model_files.STAGE_NAMES}
    for stage, vqgan in stages.items():
        if vqgan is None and model_files.has_stage(config, stage):
            what = "its VQGAN" if stage == "first" else "the VQGAN of its conditions"
            raise UsageError(
                f"{config.name} does not contain the path of {what}: add a ckpt_path to "
                f"{stage}_stage_config"
            )
    return model_files.untrained_transformer(config, *stages.values())


@own_arithmetic()
def load_perceptor(source: str | Path = DEFAULT, device: str | torch.device = "cpu") -> Perceptor:
    """Load a frozen CLIP model in evaluation mode and float32.

    Args:
        source: ``"default"`` for the model included with vqclip, an open_clip name such as
            ``ViT-B-32/laion2b_s34b_b79k``, a folder, a file, or the name of a stored model.
        device: device for the model.

    Raises:
        UsageError: the model or the device does not exist.
        CheckpointError: the weights cannot be downloaded, read or loaded.
    """
    device = resolve_device(device)
    check_unchanged(source)
    model = stored(source)
    return open_perceptor(str(model.folder if model else source), device)


def _separate_stage(
    source: str | Path | None, state: model_files.StateDict, config: ModelConfig, stage: StageName
) -> VQModel | None:
    """Return a VQGAN that is stored separately from its transformer, or None if there is none."""
    if not model_files.has_stage(config, stage):
        if source is not None:
            raise UsageError(
                f"{config.name} has no separate VQGAN as its {stage} stage, so do not pass one"
            )
        return None
    if model_files.stage_reference(config, stage) is not None:
        return referred(config, stage, source)
    stage_config = model_files.stage_config(config, stage)
    named = stage_config.params.get("ckpt_path")
    if source is None and named and not model_files.holds_stage(state, stage):
        source = config.file(str(named))
    if source is None:
        return None
    return model_files.load_vqgan_weights(
        model_files.read_state_dict(vqgan_path(source)), stage_config
    )


def referred(
    config: ModelConfig, stage: StageName, source: str | Path | None = None
) -> VQModel | None:
    """Load the VQGAN that a config refers to, or return None if there is none.

    Raises:
        UsageError: the VQGAN does not exist.
        CheckpointError: the VQGAN's codebook is not the one that the transformer was trained with.
    """
    reference = model_files.stage_reference(config, stage)
    if reference is None:
        return None
    source, codebook = source or reference[0], reference[1]
    vqgan = load_vqgan(source)
    if codebook is not None and codebook_hash(vqgan) != codebook:
        raise CheckpointError(
            f"{config.name} was trained on codes from a different VQGAN than {source}; pass that "
            f"VQGAN as {stage}_stage"
        )
    return vqgan


def _config(path: Path, config: str | Path | Mapping[str, Any] | None) -> ModelConfig | None:
    """Return the given config or, by default, the one beside the weights; None if there is none."""
    if isinstance(config, Mapping):
        return ModelConfig.of(config, "the config given")
    return model_files.config_for(path, None if config is None else user_path(config))


def _frozen(model: _Network) -> _Network:
    model.eval().requires_grad_(False)
    return model


@dataclass(frozen=True)
class Models:
    """The networks for a run; any number of runs can share them.

    transformer: the transformer for drafts or samples; its VQGAN may differ from ``vqgan``.
    guide: the CLIP model whose embeddings condition the transformer; it may also be a perceptor.
    """

    vqgan: VQModel
    perceptors: tuple[Perceptor, ...]
    device: torch.device
    dtype: torch.dtype
    transformer: Net2NetTransformer | None = None
    guide: Perceptor | None = None


@own_arithmetic()
def load_models(config: GenerateConfig | SampleConfig) -> Models:
    """Load the models named in ``config`` for its device and precision.

    Unless the config names a VQGAN, the run uses the transformer's VQGAN. Perceptors are loaded
    only if there are prompts.
    """
    device = resolve_device(config.device)
    dtype = resolve_precision(config.precision, device)
    transformer = _run_transformer(config, device, dtype)
    vqgan = _run_vqgan(config, transformer, device, dtype)
    perceptors = {
        source: accelerate(load_perceptor(source, device), device, dtype)
        for source, _ in config.clip
        if config.prompts
    }
    guide = None
    stage = transformer.cond_stage_model if transformer else None
    if isinstance(stage, ClipEmbedding) and config.prompts:
        guide = perceptors.get(stage.perceptor)
        guide = guide or accelerate(load_perceptor(stage.perceptor, device), device, dtype)
    return Models(
        vqgan,
        tuple(perceptors[source] for source, _ in config.clip if config.prompts),
        device,
        dtype,
        transformer,
        guide,
    )


def weight_files(config: GenerateConfig | SampleConfig, models: Models) -> dict[str, list[Path]]:
    """Return a run's weight files by kind: transformer, vqgan and clip."""
    source = transformer_of(config)
    vqgan = config.vqgan if isinstance(config, GenerateConfig) else DEFAULT
    paths = {} if source is None else {"transformer": [transformer_path(source)]}
    if source in (None, DEFAULT) or vqgan != DEFAULT:  # otherwise it is in the transformer's file
        paths["vqgan"] = [vqgan_path(vqgan)]
    perceptors = models.perceptors if config.prompts else ()
    return {**paths, "clip": [perceptor.weights for perceptor in perceptors]}


def _run_transformer(
    config: GenerateConfig | SampleConfig, device: torch.device, dtype: torch.dtype
) -> Net2NetTransformer | None:
    source = transformer_of(config)
    if source is None:
        return None
    transformer = load_transformer(source, config.transformer_config, device)
    accelerate(transformer.transformer, device, dtype)
    # Samples are decoded in float32 so that `vqclip decode` reproduces their bytes.
    drafts = isinstance(config, GenerateConfig)
    accelerate(transformer.vqgan, device, dtype if drafts else torch.float32)
    return transformer


def _run_vqgan(
    config: GenerateConfig | SampleConfig,
    transformer: Net2NetTransformer | None,
    device: torch.device,
    dtype: torch.dtype,
) -> VQModel:
    source = config.vqgan if isinstance(config, GenerateConfig) else DEFAULT
    if transformer is not None and source == DEFAULT:
        if config.prompts:  # CLIP needs RGB images
            check_rgb(transformer.vqgan, str(transformer_of(config)))
        return transformer.vqgan
    assert isinstance(config, GenerateConfig)
    vqgan = load_vqgan(config.vqgan, config.vqgan_config, device)
    check_rgb(vqgan, config.vqgan)
    return accelerate(vqgan, device, dtype)
