"""The recorded training of taming-transformers, and its initial weights."""

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from vqclip.files.safe_yaml import read_yaml
from vqclip.hub.model_files import read_state_dict
from vqclip.models.lpips import LPIPS, lpips_from
from vqclip.training.settings import TrainSettings, settings_of
from vqclip.training.vqgan.stage import VQGANStage, open_vqgan_stage

CASE = Path(__file__).parents[1] / "reference" / "vqmodel_f16"
META: dict[str, Any] = json.loads((CASE / "meta.json").read_text())


def images() -> Tensor:
    """Return the batch, (2, 3, 64, 64)."""
    return load_file(CASE / "ref.safetensors")["input"]


def recorded_lpips() -> LPIPS:
    """Return LPIPS as recorded; VGG's weights, too large to record, are seeded by their names."""
    recorded = read_state_dict(CASE / "checkpoints" / "last.ckpt")
    prefix = "loss.perceptual_loss."
    state = LPIPS().state_dict()
    vgg = {k: _seeded(prefix + k, v) for k, v in state.items() if k.startswith("net.")}
    return lpips_from([vgg, recorded])


def _seeded(name: str, like: Tensor) -> Tensor:
    """Return a weight by the rule of the recorded checkpoint: N(0, 1/fan-in), or N(0, 0.05²)."""
    numbers = np.random.RandomState(zlib.crc32(name.encode())).randn(like.numel())
    scale = like[0].numel() ** -0.5 if like.ndim > 1 else 0.05
    return torch.from_numpy(numbers * scale).float().view(like.shape)


def recorded_settings(**train: Any) -> TrainSettings:
    """Return the unchanged config of the recorded model, with the learning rate of the trace."""
    model = read_yaml(next((CASE / "configs").glob("*.yaml")))["model"]
    return settings_of(
        "vqgan",
        {
            "model": model,
            "start": str(CASE),
            "loss": {"perceptual": None, "legacy_beta": True},
            "train": {"learning_rate": META["train_trace"]["lr"], "device": "cpu", **train},
        },
    )


def recorded_stage() -> VQGANStage:
    """Return the stage with all weights as recorded, including LPIPS."""
    settings = recorded_settings()
    stage = open_vqgan_stage(settings, torch.device("cpu"))
    stage.perceptual = recorded_lpips()
    return stage
