"""The patch discriminator, compared with the recorded one."""

import gzip
import json
from pathlib import Path

import torch
from safetensors.torch import load_file

from vqclip.hub.model_files import read_state_dict
from vqclip.models.discriminator import PatchDiscriminator

CASE = Path(__file__).parents[1] / "reference" / "vqmodel_f16"
FULL = CASE.parent / "full"


def test_logits_match_the_recorded_ones() -> None:
    state = read_state_dict(CASE / "checkpoints" / "last.ckpt")
    prefix = "loss.discriminator."
    model = PatchDiscriminator(3, ndf=8, num_layers=2).eval()
    model.load_state_dict(
        {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    )
    recorded = load_file(CASE / "ref.safetensors")
    logits = model(recorded["input"])
    torch.testing.assert_close(logits, recorded["disc_logits_eval"], rtol=0, atol=1e-5)


def test_published_shape() -> None:
    keys = json.loads(gzip.decompress((FULL / "vqgan_imagenet_f16_1024.keys.json.gz").read_bytes()))
    prefix = "loss.discriminator."
    wanted = {k.removeprefix(prefix): v[0] for k, v in keys.items() if k.startswith(prefix)}
    state = PatchDiscriminator().state_dict()
    assert {key: list(value.shape) for key, value in state.items()} == wanted


def test_initial_weights() -> None:
    torch.manual_seed(0)
    model = PatchDiscriminator()
    assert abs(model.main[5].weight.std().item() - 0.02) < 1e-3
    assert abs(model.main[6].weight.mean().item() - 1) < 1e-2
    assert model(torch.zeros(2, 3, 64, 64)).shape == (2, 1, 6, 6)
