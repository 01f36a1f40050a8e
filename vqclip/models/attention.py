"""The fastest scaled dot-product attention for each device."""

import torch
import torch.nn.functional as F
from torch import Tensor

_MOST_SCORES = 4096**2  # per head; beyond this the memory for the scores outweighs the time saved


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Return softmax(q·kᵀ/√d)·v for q, k and v of shape (n, heads, tokens, d), as the same shape.

    On a CPU in bfloat16, torch's fused kernel takes two to five times as long as explicit products.
    """
    few = q.shape[-2] * k.shape[-2] <= _MOST_SCORES
    if q.device.type == "cpu" and q.dtype == torch.bfloat16 and few:
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)  # (n, heads, tokens, tokens)
        seen: Tensor = scores.softmax(-1) @ v
        return seen
    return F.scaled_dot_product_attention(q, k, v)
