"""Published models at full size reproduce outputs recorded with the original implementation.

The weights are seeded by their names, so that the recordings need no checkpoint of 300 MB. The
codebook of f16 cannot be derived from names, so only the encoder of that model is compared.
"""

import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from vqclip.files.safe_yaml import read_yaml
from vqclip.hub.model_files import ModelConfig, new_vqgan
from vqclip.models.vqgan import VQModel

FULL = Path(__file__).parents[1] / "reference" / "full"


def seeded(name: str, like: Tensor) -> Tensor:
    """Return N(0, 1/fan-in) for matrices, 1 + N(0, 0.1²) for gains, N(0, 0.05²) for biases."""
    numbers = np.random.RandomState(zlib.crc32(name.encode())).randn(like.numel())
    values = torch.from_numpy(numbers).float().view(like.shape)
    if name == "quantize.embed.weight":
        return values
    if like.ndim > 1:
        return values * like[0].numel() ** -0.5
    return 1 + 0.1 * values if name.endswith(".weight") else 0.05 * values


def recorded(name: str) -> tuple[VQModel, dict[str, Tensor]]:
    model = new_vqgan(ModelConfig.of(read_yaml(FULL / f"{name}.yaml")["model"], name))
    model.load_state_dict({key: seeded(key, value) for key, value in model.state_dict().items()})
    return model.eval(), load_file(FULL / f"{name}.ref.safetensors")


@pytest.mark.slow
@torch.no_grad()
def test_imagenet_f16_encodes_as_recorded() -> None:
    model, recording = recorded("vqgan_imagenet_f16_1024")
    z = model.encode(recording["input"])
    assert (z - recording["prequant"]).abs().max() < 1e-4


@pytest.mark.slow
@torch.no_grad()
def test_gumbel_f8_encodes_and_decodes_as_recorded() -> None:
    model, recording = recorded("vqgan_gumbel_f8_8192")
    z = model.encode(recording["input"])
    assert (z - recording["prequant"]).abs().max() < 1e-4
    _, indices = model.quantize(z)
    assert torch.equal(indices, recording["indices"].view_as(indices))
    image = model.decode(model.codes(recording["decode_indices"].view_as(indices)))
    assert (image - recording["decoded"]).abs().max() < 1e-4
