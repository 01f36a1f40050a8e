"""Tiny models with random weights."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqclip.config import GenerateConfig
from vqclip.generation.frame import watched
from vqclip.generation.step import Run, begin
from vqclip.hub.loaders import Models
from vqclip.models.autoencoder import DDConfig
from vqclip.models.condition_stages import StartToken
from vqclip.models.gpt import GPT, GPTConfig
from vqclip.models.permuters import Permuter
from vqclip.models.transformer import Net2NetTransformer
from vqclip.models.vqgan import VQModel, VQSegmentationModel

CODES = 24


def run(config: GenerateConfig, models: Models) -> Run:
    """Return the run of a config after its drafts."""
    return watched(begin(config, models))


def vqgan(channels: int = 3, resolution: int = 16) -> VQModel:
    """Return a VQGAN that halves images once and has 24 codes."""
    config = _ddconfig(channels, resolution)
    return _spread(VQModel(config, CODES, 4))


class ImageTower(nn.Module):
    """A single layer in place of CLIP's image tower, for tests that do not depend on its values."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        weight = torch.randn(dim, 3, 8, 8, generator=torch.Generator().manual_seed(0))
        self.register_buffer("weight", weight)

    def forward(self, images: Tensor) -> Tensor:
        return F.conv2d(F.adaptive_avg_pool2d(images, 8).float(), self.weight).flatten(1)


def with_tiny_clip(models: Models) -> Models:
    """Return ``models``, whose CLIP models keep only their texts; a step is five times as fast."""
    for perceptor in {*models.perceptors, *([models.guide] if models.guide else [])}:
        perceptor.visual = ImageTower(perceptor.embed_text(["x"]).shape[1])
        perceptor.resolution = 32
    return models


def segmenter(labels: int) -> VQSegmentationModel:
    """Return a VQGAN of the same shape for label maps."""
    return _spread(VQSegmentationModel(_ddconfig(labels, 16), CODES, 4, labels))


def gpt(block_size: int = 16, **options: Any) -> GPT:
    """Return a GPT of two layers with weights large enough for clear preferences."""
    shape = {"vocab_size": CODES, "n_layer": 2, "n_head": 2, "n_embd": 16, **options}
    model = GPT(GPTConfig(block_size=block_size, **shape))
    for parameter in model.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=0.3)
    return model.eval().requires_grad_(False)


def transformer(
    condition: nn.Module | None = None,
    block_size: int = 16,
    permuter: Permuter | None = None,
    first: VQModel | None = None,
    n_unmasked: int = 0,
    **options: Any,
) -> Net2NetTransformer:
    """Return a transformer, by default an unconditional one over 4x4 codes."""
    torch.manual_seed(0)
    model = Net2NetTransformer(
        gpt(block_size, n_unmasked=n_unmasked),
        first or vqgan(),
        condition or StartToken(1),
        permuter or Permuter(),
        **options,
    )
    return model.eval().requires_grad_(False)


def random_codes(*shape: int, seed: int = 0) -> Tensor:
    """Return random codes below 24."""
    return torch.randint(CODES, shape, generator=torch.Generator().manual_seed(seed))


def _ddconfig(channels: int, resolution: int) -> DDConfig:
    return DDConfig(
        ch=32,
        out_ch=channels,
        num_res_blocks=1,
        attn_resolutions=(),
        in_channels=channels,
        resolution=resolution,
        z_channels=4,
        ch_mult=(1, 1),
        double_z=False,
    )


def _spread(model: Any) -> Any:
    nn.init.normal_(model.codebook)
    return model.eval().requires_grad_(False)
