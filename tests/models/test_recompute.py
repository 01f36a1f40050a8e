"""Recomputed activations give the same image and gradient."""

import pytest
import torch

from tests import tiny
from vqclip.models import recompute


def test_recomputation_does_not_change_results(monkeypatch: pytest.MonkeyPatch) -> None:
    vqgan = tiny.vqgan().requires_grad_(False)
    results, calls, original = [], [], recompute.checkpoint

    def counted(block: torch.nn.Module, x: torch.Tensor, **options: bool) -> torch.Tensor:
        calls.append(block)
        return original(block, x, **options)

    monkeypatch.setattr(recompute, "checkpoint", counted)
    for large in (1 << 40, 1):
        monkeypatch.setattr(recompute, "LARGE", large)
        z = torch.ones(1, 4, 8, 8, requires_grad=True)
        image = vqgan.decode(z)
        image.backward(torch.ones_like(image).cumsum(-1))
        results.append((image, z.grad))
        assert bool(calls) == (large == 1)
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
    count = len(calls)
    with torch.no_grad():
        vqgan.decode(torch.ones(1, 4, 8, 8))
    assert len(calls) == count
