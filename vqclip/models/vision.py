"""A faster version of CLIP's vision transformer with the same weights and results.

open_clip's tower (Radford et al. 2021, arXiv:2103.00020) is written for training. For inference
and gradients with respect to pixels, three of its parts are slow on the CPU: patch embedding by a
convolution with large strides, attention on an input transposed in memory, and a last block that
computes every token although only the class token is read.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqclip.models.attention import self_attention


def streamline(visual: nn.Module) -> nn.Module:
    """Replace a vision transformer's slow parts in place, keeping parameter names.

    Other image towers are returned unchanged.
    """
    if not _is_plain_transformer(visual):
        return visual
    tower: Any = visual
    tower.conv1 = PatchEmbedding(tower.conv1)
    blocks = tower.transformer.resblocks
    for block in blocks:
        block.attn = SelfAttention(block.attn)
    if tower.pool_type == "tok" and not tower.output_tokens:
        blocks[-1] = ClassTokenBlock(blocks[-1])
    return visual


def _is_plain_transformer(visual: Any) -> bool:
    if type(visual).__name__ != "VisionTransformer" or visual.attn_pool is not None:
        return False
    return all(_is_plain_block(block) for block in visual.transformer.resblocks)


def _is_plain_block(block: Any) -> bool:
    attention = getattr(block, "attn", None)
    return (
        type(block).__name__ == "ResidualAttentionBlock"
        and type(attention) is nn.MultiheadAttention
        and attention.batch_first
        and attention.in_proj_bias is not None
        and attention.bias_k is None
        and not attention.add_zero_attn
    )


class PatchEmbedding(nn.Module):
    """A convolution whose stride equals its kernel size, computed as one matrix product."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.weight, self.bias = conv.weight, conv.bias

    def forward(self, images: Tensor) -> Tensor:
        """Map (n, 3, h, w) -> (n, width, h/p, w/p)."""
        p, q = self.weight.shape[2:]
        rows, columns = images.shape[2] // p, images.shape[3] // q
        patches = images[..., : rows * p, : columns * q].reshape(-1, 3, rows, p, columns, q)
        patches = patches.permute(0, 2, 4, 1, 3, 5)  # (n, rows, columns, 3, p, q)
        return self.project(patches.flatten(3)).permute(0, 3, 1, 2)

    def project(self, patches: Tensor) -> Tensor:
        """Map (..., 3 p q) -> (..., width)."""
        return F.linear(patches, self.weight.flatten(1), self.bias)


class SelfAttention(nn.Module):
    """``nn.MultiheadAttention`` as plain self-attention, without masks or dropout."""

    def __init__(self, attention: nn.MultiheadAttention) -> None:
        super().__init__()
        self.num_heads = attention.num_heads
        self.in_proj_weight = attention.in_proj_weight
        self.in_proj_bias = attention.in_proj_bias
        self.out_proj = attention.out_proj

    def forward(self, query: Tensor, *_: Any, **__: Any) -> tuple[Tensor, None]:
        """Map (n, tokens, width) to the same shape; return no attention weights."""
        return self.out_proj(self_attention(self.project(query), self.num_heads)), None

    def project(self, x: Tensor) -> Tensor:
        """Map x (..., width) to queries, keys and values, (..., 3 width)."""
        return F.linear(x, self.in_proj_weight, self.in_proj_bias)

    def first(self, x: Tensor) -> Tensor:
        """Return the output for the first token only: (n, tokens, width) -> (n, 1, width).

        A single query needs no explicit keys and values, because q·(W x) = (Wᵀ q)·x, and the
        weighted mean of the values is the value of the weighted mean. A key bias shifts all scores
        equally and cancels out.
        """
        bias_q, _, bias_v = self.in_proj_bias.view(3, self.num_heads, -1)
        # (width, width) -> (heads, width per head, width)
        w_q, w_k, w_v = self.in_proj_weight.view(3, self.num_heads, -1, x.shape[-1])
        q = torch.einsum("nw,hdw->nhd", x[:, 0], w_q) + bias_q
        scores = torch.einsum("nhd,hdw->nhw", q, w_k) @ x.transpose(1, 2)  # (n, heads, tokens)
        mean = (scores * q.shape[-1] ** -0.5).softmax(-1) @ x  # (n, heads, width)
        attended = torch.einsum("nhw,hdw->nhd", mean, w_v) + bias_v
        projected: Tensor = self.out_proj(attended.flatten(1)[:, None])
        return projected


class ClassTokenBlock(nn.Module):
    """The last residual block, computed only for the class token, which comes first."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        for name, child in block.named_children():
            self.add_module(name, child)

    def forward(self, x: Tensor, *_: Any, **__: Any) -> Tensor:
        """Map (n, tokens, width) -> (n, 1, width)."""
        part: Any = self
        x = x[:, :1] + part.ls_1(part.attn.first(part.ln_1(x)))
        y: Tensor = x + part.ls_2(part.mlp(part.ln_2(x)))
        return y
