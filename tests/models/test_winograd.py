import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from vqclip.models import winograd
from vqclip.models.winograd import WinogradConv2d, fits


def frozen_conv(c_in: int, c_out: int, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(c_in, c_out, 3, padding=1, bias=bias).requires_grad_(False)


def relative_error(value: Tensor, reference: Tensor) -> float:
    return float((value - reference).detach().norm() / reference.detach().norm())


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 3),
    st.integers(1, 7),
    st.integers(1, 7),
    st.integers(1, 30),
    st.integers(1, 30),
    st.booleans(),
)
def test_equals_the_convolution_and_its_gradient(
    batch: int, c_in: int, c_out: int, height: int, width: int, bias: bool
) -> None:
    torch.manual_seed(height * width)
    conv = frozen_conv(c_in, c_out, bias)
    x = torch.randn(batch, c_in, height, width, requires_grad=True)
    exact = x.detach().double().requires_grad_()
    reference = F.conv2d(
        exact, conv.weight.double(), conv.bias.double() if bias else None, padding=1
    )
    gradient = torch.randn_like(x[:, :1]).expand(-1, c_out, -1, -1)
    reference.backward(gradient.double())
    y = WinogradConv2d(conv)(x)
    y.backward(gradient)
    assert y.shape == reference.shape
    assert relative_error(y, reference) < 1e-5
    assert x.grad is not None
    assert exact.grad is not None
    assert relative_error(x.grad, exact.grad) < 1e-5


def test_block_boundaries_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, x = WinogradConv2d(frozen_conv(8, 16)), torch.randn(1, 8, 50, 22)
    whole = layer(x)
    monkeypatch.setattr(winograd, "_CACHE_FLOATS", 1)  # one row of tiles at a time
    # relative to the whole, because the sums of fewer rows are rounded differently with AVX2
    assert relative_error(layer(x), whole) < 1e-6


def test_output_is_channels_last_and_calls_are_independent() -> None:
    layer, other = WinogradConv2d(frozen_conv(8, 8)), WinogradConv2d(frozen_conv(8, 24))
    x = torch.randn(2, 8, 21, 33).contiguous(memory_format=torch.channels_last)
    first = layer(x)
    kept = first.clone()
    other(torch.randn(1, 8, 64, 64))
    assert torch.equal(first, kept)
    assert torch.equal(layer(x), kept)
    assert layer(x[:, :, :20]).is_contiguous(memory_format=torch.channels_last)


def test_keeps_the_keys() -> None:
    conv = frozen_conv(3, 5)
    state = WinogradConv2d(conv).state_dict()
    assert list(state) == list(conv.state_dict())
    assert torch.equal(state["weight"], conv.weight)


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(4, 4, 1),
        nn.Conv2d(4, 4, 3),
        nn.Conv2d(4, 4, 3, padding=1, stride=2),
        nn.Conv2d(4, 4, 3, padding=1, groups=2),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(4, 4, 3, padding="same"),
    ],
)
def test_fits_no_other_convolution(conv: nn.Conv2d) -> None:
    assert not fits(conv.requires_grad_(False))


def test_fits_only_frozen_weights() -> None:
    conv = nn.Conv2d(4, 4, 3, padding=1)
    assert not fits(conv)
    assert fits(conv.requires_grad_(False))
