"""Training stages by name, imported on first use."""

from importlib import import_module

import torch

from vqclip.registry import Registry
from vqclip.training.settings import TrainSettings
from vqclip.training.stage import Stage

#: Import path of each stage's function ``(settings, device) -> Stage``.
STAGES: Registry[str] = Registry(
    "stage",
    {
        "vqgan": "vqclip.training.vqgan.stage:open_vqgan_stage",
        "transformer": "vqclip.training.transformer.stage:open_transformer_stage",
        "clip": "vqclip.training.clip.stage:open_clip_stage",
    },
)


def open_stage(settings: TrainSettings, device: torch.device) -> Stage:
    """Build the stage described by ``settings``; its initial weights depend only on the seed.

    Raises:
        UsageError: the stage is unknown or the settings are invalid.
        CheckpointError: the weights to start from cannot be used.
    """
    module, _, name = STAGES[settings.stage].partition(":")
    torch.manual_seed(settings.seed)
    stage: Stage = getattr(import_module(module), name)(settings, device)
    return stage
