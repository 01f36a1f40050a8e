"""Quantization in training: recorded losses, schedules, dead codes, averaged codes."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from vqclip.errors import UsageError
from vqclip.hub.loaders import load_vqgan
from vqclip.models.quantize import GumbelQuantizer
from vqclip.training.vqgan.quantization import (
    CodebookUpdater,
    WarmUpCosine,
    gumbel_noise,
    gumbel_quantize,
    temperature_schedule,
    vector_quantize,
)

REFERENCE = Path(__file__).parents[2] / "reference"


@pytest.mark.parametrize("view", ["", "nonsquare_"])
def test_recorded_codebook_loss(view: str) -> None:
    recorded = load_file(REFERENCE / "vqmodel_f16" / "ref.safetensors")
    codebook = load_vqgan(REFERENCE / "vqmodel_f16").codebook
    result = vector_quantize(recorded[f"{view}prequant"], codebook, 0.25, legacy_beta=True)
    torch.testing.assert_close(result.loss, recorded[f"{view}emb_loss"])
    torch.testing.assert_close(result.z_q, recorded[f"{view}z_q"])
    assert torch.equal(result.ids.flatten(), recorded[f"{view}indices"])


def test_beta_weights_commitment_or_with_legacy_the_codebook() -> None:
    torch.manual_seed(0)
    z, codebook = torch.randn(1, 2, 2, 2, requires_grad=True), torch.randn(5, 2, requires_grad=True)
    for legacy, share in ((False, 0.25), (True, 4.0)):
        result = vector_quantize(z, codebook, 0.25, legacy_beta=legacy)
        to_z, to_e = torch.autograd.grad(result.loss, (z, codebook))
        ours, theirs = to_z.sum((0, 2, 3)), to_e.sum(0)
        torch.testing.assert_close(ours, -share * theirs)


def test_gradient_goes_straight_through() -> None:
    z, codebook = torch.randn(1, 2, 2, 2, requires_grad=True), torch.randn(5, 2)
    (3 * vector_quantize(z, codebook, 1.0, legacy_beta=False).z_q).sum().backward()
    assert z.grad is not None
    assert (z.grad == 3).all()


def test_in_bfloat16_on_a_cpu_quantized_latents_lie_in_planes() -> None:
    """With channels-last latents, training the decoder would take twice as long."""
    z = torch.randn(2, 4, 3, 5)
    with torch.autocast("cpu", torch.bfloat16):
        quantized = vector_quantize(z, torch.randn(7, 4), 0.25, legacy_beta=False)
    assert quantized.z_q.is_contiguous()


def test_recorded_gumbel_samples() -> None:
    recorded = load_file(REFERENCE / "gumbel_f8" / "ref.safetensors")
    quantizer = load_vqgan(REFERENCE / "gumbel_f8").quantize
    assert isinstance(quantizer, GumbelQuantizer)
    noise = recorded["gumbel_noise"]
    result = gumbel_quantize(recorded["prequant"], quantizer, 1.0, 1e-8, noise)
    assert torch.equal(result.ids, recorded["sampled_indices"])
    torch.testing.assert_close(result.z_q, recorded["sampled_z_q"], rtol=1e-4, atol=1e-5)


def test_recorded_divergence() -> None:
    recorded = load_file(REFERENCE / "gumbel_f8" / "ref.safetensors")
    quantizer = load_vqgan(REFERENCE / "gumbel_f8").quantize
    assert isinstance(quantizer, GumbelQuantizer)
    noise = recorded["gumbel_noise"]
    divergences = [
        float(gumbel_quantize(recorded["prequant"], quantizer, 1.0, w, noise).loss)
        for w in (1e-8, 5e-4, 1.0)
    ]
    value = float(recorded["kl_diff"])
    assert any(divergence == pytest.approx(value, rel=1e-4) for divergence in divergences)


def test_recorded_temperatures() -> None:
    recorded = json.loads((REFERENCE / "gumbel_f8" / "meta.json").read_text())["temperature"]
    schedule = WarmUpCosine()
    for step, value in recorded.items():
        assert schedule(int(step)) == pytest.approx(value, rel=1e-9)
    rising = WarmUpCosine(warm_up_steps=10, lr_start=0.1, lr_max=1.1)
    assert rising(5) == pytest.approx(0.6)
    with pytest.raises(UsageError, match="unknown temperature"):
        temperature_schedule({"temperature_scheduler_config": {"target": "x.Y"}})


def test_gumbel_noise_has_its_mean() -> None:
    torch.manual_seed(0)
    assert float(gumbel_noise(torch.empty(100_000)).mean()) == pytest.approx(0.5772, abs=0.02)


def test_dead_codes_are_placed_on_latents() -> None:
    torch.manual_seed(0)
    codebook = torch.tensor([[0.0, 0.0], [50.0, 50.0], [60.0, 60.0]])
    care = CodebookUpdater(codebook, revive_after=2, decay=0.0)
    z, ids = torch.randn(1, 2, 3, 3), torch.zeros(1, 3, 3, dtype=torch.long)
    assert care.update(codebook, z, ids).tolist() == []
    assert care.update(codebook, z, ids).tolist() == [1, 2]
    assert codebook.abs().max() < 5
    assert care.idle.tolist() == [0, 0, 0]
    assert (codebook[0] == 0).all()


def test_averaged_codes_find_their_means() -> None:
    torch.manual_seed(0)
    centres = torch.tensor([[-2.0, 1.0], [3.0, 0.0]])
    codebook = torch.tensor([[-1.0, 0.0], [1.0, 0.0]])
    care = CodebookUpdater(codebook, revive_after=0, decay=0.9)
    for _ in range(100):
        ids = torch.randint(2, (1, 8, 8))
        z = (centres[ids] + 0.1 * torch.randn(1, 8, 8, 2)).movedim(-1, 1)
        care.update(codebook, z, vector_quantize(z, codebook, 1.0, legacy_beta=False).ids)
    torch.testing.assert_close(codebook, centres, rtol=0, atol=0.05)
