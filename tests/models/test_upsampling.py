"""Upsampling and the convolution after it, as one small convolution."""

import pytest
import torch

from vqclip.models.autoencoder import Upsample
from vqclip.models.upsampling import FusedUpsample


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("grid", [(4, 6), (5, 1), (1, 1)])
def test_fused_upsampling_matches(
    layout: torch.memory_format, grid: tuple[int, int], generator: torch.Generator
) -> None:
    plain = Upsample(3, with_conv=True).eval().requires_grad_(False)
    fused = FusedUpsample(plain).to(memory_format=layout)
    assert list(fused.state_dict()) == list(plain.state_dict())
    x = torch.randn(2, 3, *grid, generator=generator).to(memory_format=layout).requires_grad_()
    expected, found = plain(x), fused(x)
    weights = torch.randn(expected.shape, generator=generator)
    torch.testing.assert_close(found, expected)
    wanted = torch.autograd.grad((expected * weights).sum(), x)
    torch.testing.assert_close(torch.autograd.grad((found * weights).sum(), x), wanted)
