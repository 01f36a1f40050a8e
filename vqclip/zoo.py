"""Where models come from: the ones that vqclip brings along, and files on disk."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from vqclip import checkpoints
from vqclip.checkpoints import ModelConfig, Stage
from vqclip.embedded import weights_folder
from vqclip.errors import CheckpointError, UsageError
from vqclip.models.perceptor import Perceptor, open_perceptor
from vqclip.models.transformer import Net2NetTransformer
from vqclip.models.vqgan import VQModel

DEFAULT = "default"
Model = TypeVar("Model", bound=nn.Module)
_SUFFIXES = (".safetensors", ".ckpt", ".pt", ".pth", ".bin")
_FAVOURITES = ("model.safetensors", "last.ckpt", "model.ckpt")


def load_vqgan(
    source: str | Path = DEFAULT,
    config: str | Path | Mapping[str, Any] | None = None,
    device: str | torch.device = "cpu",
    *,
    stage: Stage = "first",
) -> VQModel:
    """Load a VQGAN, frozen, in evaluation mode and float32.

    Args:
        source: ``"default"`` for the model that comes with vqclip, a checkpoint file, or a
            folder with weights and config.
        config: the model's YAML (or its content). By default the one that lies with the
            weights; without any, the model is read off the weights.
        device: where to put it.
        stage: which VQGAN of a transformer's checkpoint: the one of the pictures (``"first"``)
            or of the condition (``"cond"``).

    Raises:
        UsageError: there is no such model or file, or the config cannot work.
        UnsafeCheckpointError: a file asks for code to be run; nothing ran.
        CheckpointError: a file is damaged, or config and weights do not belong together.

    """
    path = vqgan_path(source)
    model_config = _config(path, config)
    state = checkpoints.read_state_dict(path)
    try:
        model = checkpoints.load_vqgan_weights(state, model_config, stage)
    except CheckpointError as error:
        raise type(error)(f"cannot load {path}: {error}") from None
    return _frozen(model).to(device)


def load_transformer(
    source: str | Path = DEFAULT,
    config: str | Path | Mapping[str, Any] | None = None,
    device: str | torch.device = "cpu",
    *,
    first_stage: str | Path | None = None,
    cond_stage: str | Path | None = None,
) -> Net2NetTransformer:
    """Load a transformer with its VQGANs, frozen, in evaluation mode and float32.

    Args:
        source: ``"default"`` for the model that comes with vqclip, a checkpoint file, or a
            folder with weights and config.
        config: the model's YAML (or its content). By default the one that lies with the weights.
        device: where to put it.
        first_stage: weights of the VQGAN of the pictures. By default those in the checkpoint,
            or where it has none, those that the config names as ``ckpt_path``.
        cond_stage: likewise of the VQGAN of the conditions.

    Raises:
        UsageError: there is no such file, no config, or it cannot work.
        UnsafeCheckpointError: a file asks for code to be run; nothing ran.
        CheckpointError: a file is damaged, or config and weights do not belong together.

    """
    path = transformer_path(source)
    model_config = _config(path, config)
    if model_config is None:
        raise UsageError(f"{path} has no config with it, which a transformer needs; give its YAML")
    if "transformer_config" not in model_config.params:
        kind = model_config.target.split(".")[-1]
        raise UsageError(f"{path} is a {kind}, no transformer over the codes of one")
    state = checkpoints.read_state_dict(path)
    try:
        model = checkpoints.load_transformer_weights(
            state,
            model_config,
            _separate_stage(first_stage, state, model_config, "first"),
            _separate_stage(cond_stage, state, model_config, "cond"),
        )
    except CheckpointError as error:
        raise type(error)(f"cannot load {path}: {error}") from None
    return _frozen(model).to(device)


def new_transformer(config: ModelConfig) -> Net2NetTransformer:
    """Build a transformer to be trained, with the VQGANs that its config names.

    Raises:
        UsageError: a VQGAN is not named or not there, or the config cannot work.
        CheckpointError: a VQGAN's file is damaged, or is none.

    """
    stages = [_separate_stage(None, {}, config, stage) for stage in ("first", "cond")]
    if stages[0] is None:
        raise UsageError(f"{config.name} does not say where its VQGAN is: give it a ckpt_path")
    return checkpoints.new_transformer(config, *stages)


def load_perceptor(source: str | Path = DEFAULT, device: str | torch.device = "cpu") -> Perceptor:
    """Load a CLIP model, frozen, in evaluation mode and float32.

    Args:
        source: ``"default"`` for the model that comes with vqclip, an open_clip name such as
            ``ViT-B-32/laion2b_s34b_b79k``, a folder or a file.
        device: where to put it.

    Raises:
        UsageError: there is no such model.
        CheckpointError: its weights cannot be fetched, read or fitted.

    """
    return open_perceptor(str(source), device)


def vqgan_path(source: str | Path = DEFAULT) -> Path:
    """The weight file of a VQGAN: of the embedded one, in a folder, or the file itself.

    Raises:
        UsageError: there is no such model, file, or weights in the folder.

    """
    if source == DEFAULT:
        return _weights_in(weights_folder() / "vqgan")
    return _weights_file(source, "VQGAN", f"known: {DEFAULT}, or give")


def transformer_path(source: str | Path = DEFAULT) -> Path:
    """The weight file of a transformer, likewise.

    Raises:
        UsageError: there is no such model, file, or weights in the folder.

    """
    if source != DEFAULT:
        return _weights_file(source, "transformer", f"known: {DEFAULT}, or give")
    folder = weights_folder() / "transformer"
    if not folder.is_dir():
        raise UsageError("vqclip brings no transformer along; give a path with --transformer")
    return _weights_in(folder)


def _weights_file(source: str | Path, what: str, advice: str = "give") -> Path:
    """The weight file in a folder, or the file itself."""
    path = Path(source).expanduser()
    if path.is_dir():
        return _weights_in(path)
    if path.is_file():
        return path
    if path.suffix in _SUFFIXES or len(path.parts) > 1:
        raise UsageError(f"there is no {what} file {str(source)!r}; check the path")
    raise UsageError(
        f"unknown {what} {str(source)!r}; {advice} the path of a "
        f"{', '.join(_SUFFIXES[:3])} file or of a folder with config and weights"
    )


def weights_hash(path: str | Path) -> str:
    """SHA-256 of a file in hexadecimal; an unchanged file is read only once per process.

    Raises:
        UsageError: there is no such file.

    """
    path = Path(path)
    try:
        stat = path.stat()
        return _sha256(path.resolve(), stat.st_size, stat.st_mtime_ns)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(f"cannot read the weights {path}: {reason}") from None


@lru_cache(maxsize=64)
def _sha256(path: Path, _size: int, _mtime: int) -> str:
    return checkpoints.file_hash(path)


def _separate_stage(
    source: str | Path | None, state: checkpoints.StateDict, config: ModelConfig, stage: Stage
) -> VQModel | None:
    """A transformer's VQGAN from a file of its own, or None where it lies in ``state``."""
    if not checkpoints.has_stage(config, stage):
        if source is not None:
            raise UsageError(f"{config.name} has no VQGAN of its own as {stage} stage; give none")
        return None
    reference = checkpoints.stage_reference(config) if stage == "first" else None
    if reference is not None:
        return _referred(source or reference[0], reference[1], config)
    stage_config = checkpoints.stage_config(config, stage)
    named = stage_config.params.get("ckpt_path")
    if source is None and named and not checkpoints.holds_stage(state, stage):
        source = config.file(str(named))
    if source is None:
        return None
    return checkpoints.load_vqgan_weights(
        checkpoints.read_state_dict(vqgan_path(source)), stage_config
    )


def _referred(source: str | Path, codebook: str | None, config: ModelConfig) -> VQModel:
    """The VQGAN that a config refers to, if it still has the codes that were learned."""
    vqgan = load_vqgan(source)
    if codebook is not None and checkpoints.codebook_hash(vqgan) != codebook:
        raise CheckpointError(
            f"{config.name} was trained for the codes of another VQGAN than {source}; "
            "give that one as first_stage"
        )
    return vqgan


def _config(path: Path, config: str | Path | Mapping[str, Any] | None) -> ModelConfig | None:
    """The config as given, or else as found with the weights."""
    if isinstance(config, Mapping):
        return ModelConfig.of(config, "the config given")
    file = checkpoints.find_config(path) if config is None else Path(config).expanduser()
    return checkpoints.read_config(file) if file else None


def _weights_in(folder: Path) -> Path:
    """The weights in a folder, or in the subfolder where training runs put them."""
    places = (folder, folder / "checkpoints", folder / "ckpts")
    favourites = [place / name for place in places for name in _FAVOURITES]
    for file in favourites:
        if file.is_file():
            return file
    for place in reversed(places):
        files = sorted(file for file in place.glob("*") if file.suffix in _SUFFIXES)
        if len(files) > 1:
            names = ", ".join(file.name for file in files[:5])
            raise UsageError(f"{place} holds several weights ({names}); give one of the files")
        if files:
            return files[0]
    raise UsageError(f"there are no weights in {folder}; it needs a {' or '.join(_SUFFIXES[:3])}")


def _frozen(model: Model) -> Model:
    model.eval().requires_grad_(False)
    return model
