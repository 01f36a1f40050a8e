"""CLIP models for training: construction, initial weights, token table, parameter groups."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vqclip.errors import CheckpointError, UsageError
from vqclip.files.environment import user_path
from vqclip.hub.model_files import StateDict, read_state_dict
from vqclip.models.depthwise import depthwise_in_float32
from vqclip.models.openclip import architecture, build_clip
from vqclip.models.perceptor import perceptor_weights
from vqclip.registry import unknown
from vqclip.training.clip.settings import ClipSettings
from vqclip.training.settings import TrainSettings

TABLE = "token_embedding.weight"
MODEL_KEYS = ("model_cfg", "preprocess_cfg")
# OpenAI's image statistics, which are open_clip's default
PREPROCESSING = {
    "mean": [0.48145466, 0.4578275, 0.40821073],
    "std": [0.26862954, 0.26130258, 0.27577711],
    "interpolation": "bicubic",
    "resize_mode": "squash",
}


def new_clip(settings: TrainSettings, loss: ClipSettings) -> tuple[nn.Module, dict[str, Any]]:
    """Return the model to train (on the CPU) and the contents of its ``open_clip_config.json``.

    Raises:
        UsageError: the configuration is invalid, or a file does not exist.
        CheckpointError: the initial weights do not fit or cannot be read.
    """
    for key in settings.model:
        if key not in MODEL_KEYS:
            raise unknown("setting in model", str(key), MODEL_KEYS)
    model_cfg = settings.model.get("model_cfg")
    if isinstance(model_cfg, str):
        model_cfg = architecture(model_cfg)
    if not isinstance(model_cfg, Mapping):
        raise UsageError("model.model_cfg is missing: use an open_clip architecture or its config")
    clip = depthwise_in_float32(build_clip(model_cfg).to(memory_format=torch.channels_last))
    tokens = loss.tokens
    if tokens.table is not None:
        load_table(clip, user_path(tokens.table), tokens.std)
    if settings.start is not None:
        state = read_state_dict(perceptor_weights(settings.start))
        start_from(clip, state, settings.start, partial=settings.start_partial)
    table = _parameter(clip, TABLE)
    table.requires_grad_(tokens.rate > 0)
    visual = clip.get_submodule("visual")
    trunk = getattr(visual, "trunk", visual)  # a timm tower's trunk, without its projection
    trunk.requires_grad_(not loss.lock)
    preprocess = {**PREPROCESSING, **dict(settings.model.get("preprocess_cfg") or {})}
    return clip, {"model_cfg": dict(model_cfg), "preprocess_cfg": preprocess}


@torch.no_grad()
def load_table(clip: nn.Module, path: Path, std: float) -> None:
    """Initialize the token embedding of ``clip`` from the table in ``path``.

    The table is scaled to a standard deviation of ``std``.

    Raises:
        UsageError: the file does not exist or has no such table.
        CheckpointError: the table is for another vocabulary or is too narrow.
    """
    state = read_state_dict(path)
    if TABLE not in state:
        raise UsageError(f"{path} contains no {TABLE}; recipes/token_table.py makes one")
    table, embedding = state[TABLE].float(), _parameter(clip, TABLE)
    rows, width = embedding.shape
    if len(table) != rows or table.shape[1] < width:
        raise CheckpointError(
            f"{path} contains a table of {tuple(table.shape)}, but the model needs {(rows, width)}"
        )
    table = table[:, :width]
    embedding.copy_(table * (std / table.std()))


def start_from(clip: nn.Module, state: StateDict, name: str, *, partial: bool) -> None:
    """Load weights or, with ``partial``, only those whose name and shape match the model's.

    Raises:
        CheckpointError: without ``partial``, a weight is missing, unexpected or of the wrong shape;
            with ``partial``, no weight fits.
    """
    own = clip.state_dict()
    fitting = {k: v for k, v in state.items() if k in own and v.shape == own[k].shape}
    misfits = sorted((own.keys() | state.keys()) - fitting.keys())
    if misfits and not partial:
        raise CheckpointError(
            f"{name} is another model: {misfits[0]} and {len(misfits) - 1} more weights do "
            "not fit; start_partial: true loads those that do"
        )
    if not fitting:
        raise CheckpointError(f"nothing in {name} fits this model")
    clip.load_state_dict(fitting, strict=False)


def parameter_groups(
    clip: nn.Module, learning_rate: float, settings: ClipSettings
) -> list[dict[str, Any]]:
    """Return AdamW's parameter groups, as in open_clip.

    Gains, biases and the logit scale do not decay. Neither does the token table; otherwise, the
    embeddings of unused words would fade. The table has its own learning rate.
    """
    named = {name: p for name, p in clip.named_parameters() if p.requires_grad}
    table = [p for name, p in named.items() if name.endswith(TABLE)]
    rest = [p for name, p in named.items() if not name.endswith(TABLE)]
    groups = [
        {"params": [p for p in rest if p.ndim >= 2], "weight_decay": settings.weight_decay},
        {"params": [p for p in rest if p.ndim < 2], "weight_decay": 0.0},
    ]
    if table:
        rate = learning_rate * settings.tokens.rate
        groups.append({"params": table, "weight_decay": 0.0, "lr": rate})
    return groups


def preprocessing(config: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """Return the mean and standard deviation for normalising images, each (3, 1, 1).

    Raises:
        UsageError: one of the two is not a list of three numbers.
    """
    try:
        mean, std = (
            torch.tensor(config["preprocess_cfg"][name], dtype=torch.float32).view(3, 1, 1)
            for name in ("mean", "std")
        )
    except (TypeError, ValueError, RuntimeError):
        raise UsageError("model.preprocess_cfg: mean and std must be three numbers each") from None
    return mean, std


def _parameter(clip: nn.Module, suffix: str) -> nn.Parameter:
    """Return the parameter whose name ends in ``suffix``, whatever prefix CustomTextCLIP adds."""
    return next(p for name, p in clip.named_parameters() if name.endswith(suffix))
