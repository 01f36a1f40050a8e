"""Products in oneDNN: the same values and gradients as torch's."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.models.test_vision import tower
from vqclip.models import portable, products, winograd
from vqclip.models.frozen import autocast, cast_products
from vqclip.models.gpt import GPT, GPTConfig, KeyValueCache
from vqclip.models.products import frozen_linear, multiply_in_onednn, prefers_onednn
from vqclip.models.runtime import has_fast_bfloat16
from vqclip.models.vision import streamline
from vqclip.models.winograd import WinogradConv2d

pytestmark = pytest.mark.skipif(
    not torch._C._has_mkldnn, reason="this build of torch has no oneDNN"
)


def same(value: Tensor | None, expected: Tensor | None, rtol: float = 1e-4) -> bool:
    assert value is not None
    assert expected is not None
    return torch.allclose(value, expected, rtol=rtol, atol=1e-4)


@pytest.mark.parametrize("shape", [(5, 7, 32), (1, 32), (64, 32)], ids=str)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_equals_a_linear_layer_and_its_gradient(
    shape: tuple[int, ...], bias: bool, dtype: torch.dtype
) -> None:
    if dtype == torch.bfloat16 and not has_fast_bfloat16(torch.device("cpu")):
        pytest.skip("this processor has no bfloat16")
    weight, offset = torch.randn(48, 32).to(dtype), torch.randn(48).to(dtype) if bias else None
    x = torch.randn(shape, requires_grad=True)  # in float32: cast as under autocast
    other = x.detach().requires_grad_()
    y, expected = frozen_linear(weight, offset)(x), F.linear(other.to(dtype), weight, offset)
    assert y.dtype == dtype
    # sums in another order may round to the next bfloat16
    rtol = 1e-4 if dtype == torch.float32 else torch.finfo(dtype).eps
    assert same(y, expected, rtol)
    gradient = torch.randn_like(y).transpose(0, -1).contiguous().transpose(0, -1)
    y.backward(gradient)
    expected.backward(gradient)
    assert same(x.grad, other.grad, rtol)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_tower_keeps_features_gradients_and_keys(dtype: torch.dtype) -> None:
    if dtype == torch.bfloat16 and not has_fast_bfloat16(torch.device("cpu")):
        pytest.skip("this processor has no bfloat16")
    plain = streamline(tower())
    cast_products(plain, dtype)
    quick = copy.deepcopy(plain)
    multiply_in_onednn(quick)
    assert list(quick.state_dict()) == list(plain.state_dict())
    images = torch.rand(5, 3, 48, 48, requires_grad=True)
    other = images.detach().requires_grad_()
    with autocast(images.device, dtype):
        features, expected = quick(images), plain(other)
    assert features.dtype == expected.dtype
    assert same(features, expected)
    replaced = ["forward" in vars(layer) for layer in quick.modules() if type(layer) is nn.Linear]
    assert replaced == [True] * 6  # two in each of three blocks
    features.square().sum().backward()
    expected.square().sum().backward()
    assert same(images.grad, other.grad)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_gpt_keeps_logits_and_keys(dtype: torch.dtype) -> None:
    if dtype == torch.bfloat16 and not has_fast_bfloat16(torch.device("cpu")):
        pytest.skip("this processor has no bfloat16")
    config = GPTConfig(vocab_size=48, block_size=9, n_layer=2, n_head=4, n_embd=32)
    plain = GPT(config).to(dtype).eval().requires_grad_(False)
    quick = copy.deepcopy(plain)
    multiply_in_onednn(quick)
    assert list(quick.state_dict()) == list(plain.state_dict())
    assert all("project" in vars(block.attn) for block in quick.blocks)
    tokens = torch.randint(48, (3, 9))
    caches = KeyValueCache(quick, 3, 9), KeyValueCache(plain, 3, 9)
    for part in (tokens[:, :4], tokens[:, 4:5], tokens[:, 5:6]):  # several tokens, then single ones
        logits, expected = quick(part, caches[0]), plain(part, caches[1])
        assert logits.dtype == expected.dtype
        assert same(logits, expected)
    assert same(quick(tokens), plain(tokens))


def test_winograd_convolutions_agree_in_both_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    conv = nn.Conv2d(16, 32, 3, padding=1).requires_grad_(False)
    x = torch.randn(2, 16, 21, 33, requires_grad=True)
    results = []
    for quick in (False, True):
        monkeypatch.setattr(winograd, "prefers_onednn", lambda quick=quick: quick)
        y = WinogradConv2d(conv)(x)
        results.append((y, *torch.autograd.grad(y.square().sum(), x)))
    assert all(same(value, expected) for value, expected in zip(*results, strict=True))


def test_portable_results_never_come_from_onednn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "_is_faster_in_onednn", lambda: True)
    monkeypatch.setattr(portable, "_process", [False])
    assert prefers_onednn()
    monkeypatch.setattr(portable, "_process", [True])
    assert not prefers_onednn()
