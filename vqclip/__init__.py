"""vqclip: text to picture with VQGAN+CLIP.

>>> import vqclip
>>> config = vqclip.GenerateConfig(vqclip.parse_prompts("a red apple"), steps=1, init="random")
>>> for frame in vqclip.generate(config):
...     pass
>>> vqclip.to_pil(frame.image).save("apple.png")

The names below are loaded on first use, so that ``import vqclip`` does not import torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from vqclip.config import GenerateConfig
    from vqclip.config.prompts import Prompt, parse_prompts
    from vqclip.errors import CheckpointError, UsageError, VqclipError
    from vqclip.generation.frame import Frame
    from vqclip.generation.loop import generate
    from vqclip.hub.loaders import load_perceptor, load_transformer, load_vqgan
    from vqclip.media.images import to_pil

_HOME = {
    "CheckpointError": "errors",
    "Frame": "generation.frame",
    "GenerateConfig": "config",
    "Prompt": "config.prompts",
    "UsageError": "errors",
    "VqclipError": "errors",
    "generate": "generation.loop",
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
    "Prompt",
    "UsageError",
    "VqclipError",
    "generate",
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
