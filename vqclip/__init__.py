"""vqclip: text to image with VQGAN+CLIP.

>>> import vqclip
>>> model = vqclip.load()  # doctest: +SKIP
>>> model.draw("a red apple", seed=7).save("apple.png")  # doctest: +SKIP

Public names are loaded on first use, so ``import vqclip`` does not import torch.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from vqclip.files.version import __version__ as __version__

# By default, GNU OpenMP threads busy-wait for hundreds of thousands of spins, which makes runs on a
# shared CPU several times slower. Fewer spins cost nothing on an idle machine. The variable is read
# when torch is imported.
os.environ.setdefault("GOMP_SPINCOUNT", "2000")

if TYPE_CHECKING:
    from vqclip.api import Model, Result, load
    from vqclip.config import GenerateConfig
    from vqclip.config.prompts import Prompt, parse_prompts
    from vqclip.errors import CheckpointError, UsageError, VqclipError
    from vqclip.generation.frame import Frame
    from vqclip.generation.losses import Observation
    from vqclip.generation.step import generate
    from vqclip.hub.listing import list_models
    from vqclip.hub.loaders import load_perceptor, load_transformer, load_vqgan
    from vqclip.media.images import to_pil

_HOME = {
    "CheckpointError": "errors",
    "Frame": "generation.frame",
    "GenerateConfig": "config",
    "Model": "api",
    "Observation": "generation.losses",
    "Prompt": "config.prompts",
    "Result": "api",
    "UsageError": "errors",
    "VqclipError": "errors",
    "generate": "generation.step",
    "list_models": "hub.listing",
    "load": "api",
    "load_perceptor": "hub.loaders",
    "load_transformer": "hub.loaders",
    "load_vqgan": "hub.loaders",
    "parse_prompts": "config.prompts",
    "to_pil": "media.images",
}

__all__ = [
    "CheckpointError",
    "Frame",
    "GenerateConfig",
    "Model",
    "Observation",
    "Prompt",
    "Result",
    "UsageError",
    "VqclipError",
    "generate",
    "list_models",
    "load",
    "load_perceptor",
    "load_transformer",
    "load_vqgan",
    "parse_prompts",
    "to_pil",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"vqclip.{_HOME[name]}"), name)
    raise AttributeError(f"module 'vqclip' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
