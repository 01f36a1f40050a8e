"""Attention gives the same result in every form of computation."""

import pytest
import torch
import torch.nn.functional as F

from vqclip.models import attention as module
from vqclip.models.attention import _SelfAttention, attention, self_attention


@pytest.fixture
def qkv(generator: torch.Generator) -> list[torch.Tensor]:
    return [torch.randn(2, 3, 7, 8, generator=generator) for _ in range(3)]


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_equals_scaled_dot_product_attention(
    dtype: torch.dtype, is_causal: bool, qkv: list[torch.Tensor]
) -> None:
    q, k, v = (part.to(dtype).requires_grad_() for part in qkv)
    expected = F.scaled_dot_product_attention(
        *(part.float() for part in (q, k, v)), is_causal=is_causal
    )
    wanted = torch.autograd.grad(expected.square().sum(), [q, k, v])
    found = attention(q, k, v, is_causal)
    assert found.dtype == dtype
    tolerance = {"atol": 0.05, "rtol": 0.05} if dtype == torch.bfloat16 else {}
    torch.testing.assert_close(found.float(), expected, **tolerance)
    gradients = torch.autograd.grad(found.float().square().sum(), [q, k, v])
    torch.testing.assert_close(gradients, wanted, **tolerance)


def test_many_tokens_use_the_fused_kernel(
    qkv: list[torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise, memory would grow with the square of the number of tokens."""
    calls = []
    monkeypatch.setattr(F, "scaled_dot_product_attention", lambda *_, **__: calls.append("fused"))
    q, k, v = (part.bfloat16() for part in qkv)
    attention(q, k, v)
    assert not calls
    monkeypatch.setattr(module, "_MOST_SCORES", 48)
    attention(q, k, v)
    assert calls == ["fused"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("heads", "width"), [(3, 8), (2, 5), (1, 8)])
def test_self_attention_copied_once_equals_attention(
    dtype: torch.dtype, heads: int, width: int, generator: torch.Generator
) -> None:
    qkv = torch.randn(2, 7, 3 * heads * width, generator=generator).to(dtype).requires_grad_()
    q, k, v = (part.unflatten(2, (heads, width)).transpose(1, 2) for part in qkv.chunk(3, 2))
    expected = attention(q, k, v).transpose(1, 2).flatten(2)
    gradient = torch.randn(expected.shape, generator=generator).to(dtype)
    wanted = torch.autograd.grad(expected, qkv, gradient)
    before = qkv.detach().clone()
    tolerance = {"atol": 1e-2, "rtol": 1e-2} if dtype == torch.bfloat16 else {}
    for found in (_SelfAttention.apply(qkv, heads), self_attention(qkv, heads)):
        assert found.dtype == dtype
        torch.testing.assert_close(found, expected, **tolerance)
        gradients = torch.autograd.grad(found, qkv, gradient)
        torch.testing.assert_close(gradients, wanted, **tolerance)
    assert qkv.equal(before)
