"""Where models come from: what vqclip brings along, what is kept by name, and files on disk."""

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from vqclip.errors import CheckpointError, UsageError
from vqclip.hub import checkpoints, store
from vqclip.hub.catalogue import catalogue
from vqclip.hub.checkpoints import ModelConfig, Stage
from vqclip.hub.embedded import weights_folder
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
        source: ``"default"`` for the model that comes with vqclip, a checkpoint file, a
            folder with weights and config, or the name of a model that is kept (``vqclip
            weights``); a file of that name comes first.
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
    _check_unchanged(source)
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
        source: ``"default"`` for the model that comes with vqclip, a checkpoint file, a
            folder with weights and config, or the name of a model that is kept (``vqclip
            weights``); a file of that name comes first.
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
    _check_unchanged(source)
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
            ``ViT-B-32/laion2b_s34b_b79k``, a folder, a file, or the name of one that is kept.
        device: where to put it.

    Raises:
        UsageError: there is no such model.
        CheckpointError: its weights cannot be fetched, read or fitted.

    """
    model = _kept(source)
    if model is None:
        return open_perceptor(str(source), device)
    store.check(model)
    return open_perceptor(str(model.folder), device)


def vqgan_path(source: str | Path = DEFAULT) -> Path:
    """The weight file of a VQGAN: of the embedded one, in a folder, or the file itself.

    Raises:
        UsageError: there is no such model, file, or weights in the folder.

    """
    if source == DEFAULT:
        return _weights_in(weights_folder() / "vqgan")
    return _weights_file(source, "VQGAN")


def transformer_path(source: str | Path = DEFAULT) -> Path:
    """The weight file of a transformer, likewise.

    Raises:
        UsageError: there is no such model, file, or weights in the folder.

    """
    if source != DEFAULT:
        return _weights_file(source, "transformer")
    folder = weights_folder() / "transformer"
    if not folder.is_dir():
        raise UsageError("vqclip brings no transformer along; give a path with --transformer")
    return _weights_in(folder)


def _weights_file(source: str | Path, what: str) -> Path:
    """The weight file in a folder, the file itself, or that of the model of this name."""
    path = store.path_of(source)
    if path.is_dir():
        return _weights_in(path)
    if path.is_file():
        return path
    if model := _kept(source):
        return model.weights
    if path.suffix in _SUFFIXES or len(path.parts) > 1:
        raise UsageError(f"there is no {what} file {str(source)!r}; check the path")
    raise _unknown(str(source), what)


def _kept(source: str | Path) -> store.Model | None:
    """The model that is kept under this name, unless there is a file of that name."""
    is_path = source == DEFAULT or store.path_of(source).exists()
    return None if is_path else store.find(str(source))


def _check_unchanged(source: str | Path) -> None:
    """Make sure that a model that is kept is as it was put there."""
    if model := _kept(source):
        store.check(model)


def _unknown(source: str, what: str) -> UsageError:
    """Say how to get what is not here."""
    known = [name for name, e in catalogue().items() if what == "VQGAN" or e.kind == "transformer"]
    if source in known:
        return UsageError(
            f"{source} is not on this computer; fetch it with: vqclip weights get {source}"
        )
    near = get_close_matches(source.lower(), known, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return UsageError(
        f"unknown {what} {source!r}; {hint}give {DEFAULT}, a name of 'vqclip weights list', or the "
        f"path of a {', '.join(_SUFFIXES[:3])} file or of a folder with config and weights"
    )


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
