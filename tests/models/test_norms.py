"""Frozen group norms: the same values and gradients as torch's."""

import pytest
import torch
from torch import nn

from vqclip.models.norms import FrozenGroupNorm, freeze_norms


def norm(groups: int, channels: int) -> nn.GroupNorm:
    layer = nn.GroupNorm(groups, channels, eps=1e-6)
    nn.init.normal_(layer.weight)
    nn.init.normal_(layer.bias)
    return layer.requires_grad_(False)


@pytest.mark.parametrize("shape", [(1, 64, 9, 7), (3, 32, 4, 4), (2, 64, 1, 1)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_equals_group_norm_and_its_gradient(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    layer, tolerance = norm(16, shape[1]), 1e-4 if dtype == torch.float32 else 0.01
    x = (torch.randn(shape) + 1).to(dtype).requires_grad_()
    exact = x.detach().double().requires_grad_()
    reference = nn.functional.group_norm(
        exact, 16, layer.weight.double(), layer.bias.double(), eps=1e-6
    )
    freeze_norms(layer)
    assert isinstance(layer, FrozenGroupNorm)
    y = layer(x)
    gradient = torch.randn(shape)
    (slope,) = torch.autograd.grad(y, x, gradient.to(dtype))
    (exact_slope,) = torch.autograd.grad(reference, exact, gradient.double())
    assert y.dtype == dtype
    for value, expected in ((y, reference), (slope, exact_slope)):
        assert (value - expected).norm() <= tolerance * expected.norm()


def test_channels_last_comes_out() -> None:
    layer = norm(16, 32)
    freeze_norms(layer)
    x = torch.randn(2, 32, 5, 6, requires_grad=True)
    y = layer(x)
    (gradient,) = torch.autograd.grad(y.square().sum(), x)
    assert y.is_contiguous(memory_format=torch.channels_last)
    assert gradient.is_contiguous(memory_format=torch.channels_last)
