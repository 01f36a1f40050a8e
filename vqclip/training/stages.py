"""The stages by name, imported when used."""

from importlib import import_module

import torch

from vqclip.registry import Registry
from vqclip.training.settings import TrainSettings
from vqclip.training.stage import Stage

#: Where a function ``(settings, device) -> Stage`` is found.
STAGES: Registry[str] = Registry(
    "stage",
    {
        "vqgan": "vqclip.training.vqgan.stage:open_vqgan_stage",
        "transformer": "vqclip.training.transformer.stage:open_transformer_stage",
        "clip": "vqclip.training.clip.stage:open_clip_stage",
    },
)


def open_stage(settings: TrainSettings, device: torch.device) -> Stage:
    """Build the stage that ``settings`` describe, its weights a function of the seed.

    Raises:
        UsageError: an unknown stage, or settings that cannot work.
        CheckpointError: weights to start from that cannot be used.
    """
    module, _, name = STAGES[settings.stage].partition(":")
    torch.manual_seed(settings.seed)
    stage: Stage = getattr(import_module(module), name)(settings, device)
    return stage
