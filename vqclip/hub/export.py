"""Export to taming-transformers as a Lightning-style ``.ckpt`` with a YAML config."""

from pathlib import Path
from typing import Any

import torch
import yaml
from torch import nn

from vqclip.errors import UsageError, reason_of
from vqclip.files.atomic import is_taken, replacing
from vqclip.hub import model_files
from vqclip.hub.loaders import load_transformer, load_vqgan
from vqclip.hub.paths import vqgan_path
from vqclip.hub.references import without_references

_LIGHTNING = "1.0.8"  # the version required by taming-transformers


def export_checkpoint(
    source: str | Path, path: Path, config: str | Path | None = None, *, overwrite: bool = False
) -> list[Path]:
    """Write a VQGAN or transformer to ``path``, with a YAML config beside it; return both paths.

    Args:
        source: a source for :func:`vqclip.hub.loaders.load_vqgan` or ``load_transformer``.
        path: output path, ending in ``.ckpt``.
        config: the model's YAML, if it is not beside the weights.
        overwrite: whether to replace existing files.

    Raises:
        UsageError: the output name is invalid or taken, or taming-transformers does not support the
            model.
        CheckpointError: the source cannot be used.
    """
    files = [path, path.with_suffix(".yaml")]
    _check_names(files, overwrite)
    model, model_config = _open(source, config)
    content = {
        "epoch": 0,
        "global_step": 0,
        "pytorch-lightning_version": _LIGHTNING,
        "callbacks": {},
        "optimizer_states": [],
        "lr_schedulers": [],
        "state_dict": {key: value.detach() for key, value in model.state_dict().items()},
    }
    try:
        with replacing(files[0], overwrite=overwrite) as temporary:
            torch.save(content, temporary)
        with replacing(files[1], overwrite=overwrite) as temporary:
            temporary.write_text(yaml.safe_dump({"model": model_config}), encoding="utf-8")
    except (OSError, RuntimeError) as error:  # torch's writer raises RuntimeError
        raise UsageError(
            f"cannot write {path}: {reason_of(error):.150}; choose another name"
        ) from error
    return files


def _check_names(files: list[Path], overwrite: bool) -> None:
    if files[0].suffix != ".ckpt":
        raise UsageError(f"cannot write {files[0].name!r}: the name must end in .ckpt")
    for file in files:
        if is_taken(file) and not overwrite:
            raise UsageError(f"{file} exists: choose another name, or add `overwrite`")


def _open(source: str | Path, config: str | Path | None) -> tuple[nn.Module, dict[str, Any]]:
    """Return the model and the config from which taming-transformers builds it."""
    weights = vqgan_path(source)
    state = model_files.read_state_dict(weights)
    kind = model_files.kind(state)
    if kind == "CLIP":
        raise UsageError(f"{source} is a CLIP model, which open_clip loads without an export")
    own = model_files.config_for(weights, config) or model_files.infer_config(state)
    if kind != "Net2NetTransformer":
        return load_vqgan(weights, config), without_references(own)
    model = load_transformer(weights, config)
    if model.condition_kind == "clip":
        raise UsageError(
            f"{source} is conditioned on CLIP embeddings, "
            "which taming-transformers does not support"
        )
    return model, without_references(own)
