"""Models of the published sizes with random weights, which do not affect time or memory."""

from pathlib import Path
from typing import Any

import torch

from vqclip.hub.loaders import Models
from vqclip.models.openclip import build_clip, tokenize
from vqclip.models.perceptor import Perceptor
from vqclip.models.runtime import accelerate, resolve_device, resolve_precision
from vqclip.models.vqgan import VQModel

F16: dict[str, Any] = {
    "double_z": False,
    "z_channels": 256,
    "resolution": 256,
    "in_channels": 3,
    "out_ch": 3,
    "ch": 128,
    "ch_mult": [1, 1, 2, 2, 4],
    "num_res_blocks": 2,
    "attn_resolutions": [16],
}
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def f16_16384(*, small: bool = False) -> VQModel:
    """Return f16-16384 with random weights.

    small: whether to use a quarter of the width, and 64 codes, in the same layers.
    """
    torch.manual_seed(0)
    if small:
        return _frozen(VQModel({**F16, "ch": 32, "z_channels": 16}, 64, 16))
    return _frozen(VQModel(F16, 16384, 256))


def vit_b_32(*, small: bool = False) -> Any:
    """Return CLIP's ViT-B/32 with random weights.

    small: whether to use two narrow layers and 64x64 pixels.
    """
    torch.manual_seed(0)
    side, width, layers = (64, 64, 2) if small else (224, 768, 12)
    words = {"width": 64, "heads": 1, "layers": 1} if small else {"width": 512, "heads": 8}
    clip = build_clip(
        {
            "embed_dim": 64 if small else 512,
            "vision_cfg": {"image_size": side, "width": width, "layers": layers, "patch_size": 32},
            "text_cfg": {"context_length": 77, "vocab_size": 49408, "layers": 12, **words},
        }
    )
    visual: Any = clip.visual
    visual.preprocess_cfg = {"mean": MEAN, "std": STD}
    return _frozen(clip)


def published_models(device: str, precision: str, *, small: bool = False) -> Models:
    """Return f16-16384 and ViT-B/32, prepared for ``device`` and ``precision``."""
    place = resolve_device(device)
    dtype = resolve_precision(precision, place)
    clip = Perceptor(vit_b_32(small=small), tokenize, "ViT-B-32", Path())
    vqgan = accelerate(f16_16384(small=small).to(place), place, dtype)
    return Models(vqgan, (accelerate(clip.to(place), place, dtype),), place, dtype)


def _frozen(model: Any) -> Any:
    return model.eval().requires_grad_(False)
