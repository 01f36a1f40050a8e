"""Attention gives the same result in every form of computation."""

import pytest
import torch
import torch.nn.functional as F

from vqclip.models import attention as module
from vqclip.models.attention import attention


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
