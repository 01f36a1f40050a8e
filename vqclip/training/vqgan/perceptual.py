"""Perceptual losses by name: ``lpips:PATH``, ``clip``, ``clip:SOURCE``, ``timm:NAME[:FILE]``."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

import torch
from torch import Tensor, nn

from vqclip.config import DEFAULT
from vqclip.errors import CheckpointError, UsageError
from vqclip.files.environment import user_path
from vqclip.files.filetypes import WEIGHT_SUFFIXES
from vqclip.hub.loaders import load_perceptor
from vqclip.hub.model_files import read_state_dict
from vqclip.models.lpips import ClipFeatures, FeatureDistance, lpips_from
from vqclip.models.third_party import explained, quiet
from vqclip.registry import unknown

PERCEPTUAL_KINDS = ("lpips", "clip", "timm")


def open_perceptual(name: str, device: torch.device) -> nn.Module:
    """Return the distance called ``name``: two images (b, 3, h, w) in [-1, 1] -> (b,).

    - ``lpips:PATH``: LPIPS on VGG16, with weights from a file or from all weight files in a folder
      (:func:`vqclip.models.lpips.lpips_from`);
    - ``clip``: features of the built-in CLIP model; ``clip:SOURCE``: those of another CLIP model;
    - ``timm:NAME``: features of a timm model, with downloaded weights; ``timm:NAME:FILE``: with
      weights from a file.

    Raises:
        UsageError: the name is unknown or the file does not exist.
        CheckpointError: the weights cannot be used.
    """
    kind, _, rest = name.partition(":")
    if kind not in PERCEPTUAL_KINDS:
        raise unknown("perceptual loss", name, PERCEPTUAL_KINDS)
    if kind == "lpips" and not rest:
        raise UsageError(
            "loss.perceptual: lpips needs the path of a file or folder with VGG16 and LPIPS's "
            "linear layers, as lpips:PATH; or use clip or none"
        )
    if kind == "lpips":
        distance: nn.Module = lpips_from(map(read_state_dict, _files(rest)))
    elif kind == "clip":
        clip = load_perceptor(rest or DEFAULT)
        features = ClipFeatures(clip.visual, clip.resolution)
        distance = FeatureDistance(features, clip.mean, clip.std)
    else:
        distance = _timm_distance(rest)
    return distance.to(memory_format=torch.channels_last).to(device)


def _files(path: str) -> list[Path]:
    place = user_path(path)
    files = sorted(file for file in place.glob("*") if file.suffix in WEIGHT_SUFFIXES)
    if place.is_file() or not place.is_dir():
        return [place]
    if not files:
        raise UsageError(
            f"there are no weights in {place}; lpips needs VGG16 and the linear layers"
        )
    return files


def _timm_distance(source: str) -> FeatureDistance:
    name, _, file = source.partition(":")
    if not name:
        raise UsageError("timm: needs the name of a model, such as timm:resnet18")
    with quiet(), explained(f"cannot load the timm model {name!r}"):
        network = import_module("timm").create_model(name, features_only=True, pretrained=not file)
    if file:
        network.load_state_dict(_fitting(network.state_dict(), read_state_dict(file), file))
    config = network.pretrained_cfg
    mean, std = (torch.tensor(config.get(name) or [0.5] * 3) for name in ("mean", "std"))
    return FeatureDistance(network, mean.view(3, 1, 1), std.view(3, 1, 1))


def _fitting(
    wanted: Mapping[str, Tensor], state: Mapping[str, Tensor], file: str
) -> dict[str, Tensor]:
    """Return the weights in ``state`` under the names in ``wanted``, matched by name or order."""
    optional = {key for key in wanted if key.endswith("num_batches_tracked")}
    if all(key in state for key in wanted.keys() - optional):
        return {key: state.get(key, value) for key, value in wanted.items()}
    named = [key for key in wanted if key not in optional]
    values = [value for value in state.values() if value.ndim]  # without batch norm's batch counts
    in_order = dict(zip(named, values, strict=False))
    if len(in_order) < len(named) or any(in_order[k].shape != wanted[k].shape for k in named):
        raise CheckpointError(f"{file} does not contain the weights of that timm model")
    return {key: in_order.get(key, value) for key, value in wanted.items()}
