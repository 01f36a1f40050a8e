"""Perceptual losses by name: ``lpips:PATH``, ``clip``, ``clip:SOURCE``."""

from pathlib import Path

import torch
from torch import nn

from vqclip.config import DEFAULT
from vqclip.errors import UsageError
from vqclip.files.environment import user_path
from vqclip.files.filetypes import WEIGHT_SUFFIXES
from vqclip.hub.checkpoints import read_state_dict
from vqclip.hub.loaders import load_perceptor
from vqclip.models.lpips import ClipFeatures, FeatureDistance, lpips_from
from vqclip.registry import unknown

PERCEPTUAL_KINDS = ("lpips", "clip")


def open_perceptual(name: str, device: torch.device) -> nn.Module:
    """Return the distance called ``name``: two images (b, 3, h, w) in [-1, 1] -> (b,).

    - ``lpips:PATH``: LPIPS on VGG16, with weights from a file or from all weight files in a folder
      (:func:`vqclip.models.lpips.lpips_from`);
    - ``clip``: features of the bundled CLIP model; ``clip:SOURCE``: of another CLIP model.

    Raises:
        UsageError: the name is unknown or the file does not exist.
        CheckpointError: the weights cannot be used.
    """
    kind, _, rest = name.partition(":")
    if kind not in PERCEPTUAL_KINDS:
        raise unknown("perceptual loss", name, PERCEPTUAL_KINDS)
    if kind == "lpips" and not rest:
        raise UsageError(
            "loss.perceptual: lpips needs a path, lpips:PATH, of a file or folder with VGG16 "
            "and LPIPS's linear layers; or use clip, or none"
        )
    if kind == "lpips":
        distance: nn.Module = lpips_from(map(read_state_dict, _files(rest)))
    else:
        clip = load_perceptor(rest or DEFAULT)
        distance = FeatureDistance(ClipFeatures(clip.visual, clip.mean, clip.std, clip.resolution))
    return distance.to(memory_format=torch.channels_last).to(device)


def _files(path: str) -> list[Path]:
    place = user_path(path)
    files = sorted(file for file in place.glob("*") if file.suffix in WEIGHT_SUFFIXES)
    if place.is_file() or not place.is_dir():
        return [place]
    if not files:
        raise UsageError(f"there are no weights in {place}; lpips needs VGG16 and linear layers")
    return files
