"""The fastest scaled dot-product attention for each device."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

_MOST_SCORES = 4096**2  # per head; beyond this, the scores' memory outweighs the time saved


def attention(q: Tensor, k: Tensor, v: Tensor, is_causal: bool = False) -> Tensor:
    """Return softmax(q·kᵀ/√d)·v, with all tensors of shape (n, heads, tokens, d).

    is_causal: whether each token attends only to itself and earlier tokens.

    On a CPU in bfloat16, torch's fused kernel takes two to five times as long as explicit matrix
    products. Explicit products are therefore used there, unless the scores would need too much
    memory. A single query is faster in the fused kernel, too.
    """
    if _prefers_products(q, k):
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)  # (n, heads, tokens, tokens)
        if is_causal:
            later = torch.full(scores.shape[-2:], -torch.inf, dtype=scores.dtype).triu(1)
            scores = scores + later
        attended: Tensor = scores.softmax(-1) @ v
        return attended
    return F.scaled_dot_product_attention(q, k, v, is_causal=is_causal)


def self_attention(qkv: Tensor, heads: int) -> Tensor:
    """Map queries, keys and values (n, tokens, 3 width) -> attended values (n, tokens, width)."""
    # (n, tokens, 3 width) -> 3 x (n, heads, tokens, width per head)
    q, k, v = (
        part.view(*part.shape[:2], heads, -1).transpose(1, 2) for part in qkv.chunk(3, dim=-1)
    )
    if _prefers_products(q, k):
        attended: Tensor = _SelfAttention.apply(qkv, heads)
        return attended
    return attention(q, k, v).transpose(1, 2).flatten(2)


def _prefers_products(q: Tensor, k: Tensor) -> bool:
    few = q.shape[-2] > 1 and q.shape[-2] * k.shape[-2] <= _MOST_SCORES
    return q.device.type == "cpu" and q.dtype == torch.bfloat16 and few


class _SelfAttention(torch.autograd.Function):
    """Self-attention by matrix products, with queries, keys and values copied together.

    Autograd would copy them one by one, along with their gradients and transposes.
    """

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, heads: int) -> Tensor:
        n, tokens, _ = qkv.shape
        parts = qkv.view(n, tokens, 3, heads, -1).permute(2, 0, 3, 1, 4)
        parts = parts.clone(memory_format=torch.contiguous_format)
        q, k, v = parts.flatten(1, 2)  # (3, n, heads, tokens, d) -> 3 x (n * heads, tokens, d)
        q.mul_(q.shape[-1] ** -0.5)
        weights = (q @ k.transpose(1, 2)).softmax(-1)  # (n * heads, tokens, tokens)
        ctx.save_for_backward(q, k, v, weights)
        attended: Tensor = (weights @ v).view(n, heads, tokens, -1)
        return attended.transpose(1, 2).flatten(2)  # (n, tokens, width)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        q, k, v, weights = ctx.saved_tensors
        (n, tokens, _), d = gradient.shape, q.shape[-1]
        gradient = gradient.reshape(n, tokens, -1, d).transpose(1, 2).flatten(0, 1)
        scores = gradient @ v.transpose(1, 2)
        scores = torch._softmax_backward_data(scores, weights, -1, weights.dtype)
        parts = q.new_empty(3, *q.shape)
        torch.bmm(scores, k, out=parts[0]).mul_(d**-0.5)
        torch.bmm(scores.transpose(1, 2), q, out=parts[1])
        torch.bmm(weights.transpose(1, 2), gradient, out=parts[2])
        # (3, n * heads, tokens, d) -> (n, tokens, 3 width)
        return parts.view(3, n, -1, tokens, d).permute(1, 3, 0, 2, 4).flatten(2), None
