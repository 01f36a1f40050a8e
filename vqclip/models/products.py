"""Matrix products with frozen weights in oneDNN, the library behind torch's convolutions.

torch multiplies float32 matrices with MKL, which does not use AVX-512 on AMD processors. On such
processors, oneDNN takes less than half the time. torch always uses oneDNN for bfloat16 matrices,
but first copies the bias to every row, and reorders the weight at every step.
"""

import platform
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vqclip.models.gpt import CausalSelfAttention
from vqclip.models.portable import is_portable
from vqclip.models.vision import PatchEmbedding, SelfAttention


def prefers_onednn() -> bool:
    """Return whether float32 matrix products should run in oneDNN instead of MKL."""
    return not is_portable() and _is_faster_in_onednn()


@cache
def _is_faster_in_onednn() -> bool:
    has_both = torch._C.has_mkl and torch._C._has_mkldnn
    return has_both and torch.cpu._is_avx512_supported() and _is_amd()


def _is_amd() -> bool:
    with suppress(OSError):  # Linux
        return "AuthenticAMD" in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    return "AuthenticAMD" in platform.processor()


def pack(weight: Tensor) -> Tensor:
    """Return a copy of a weight (out, in) in the memory layout that oneDNN reads."""
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous())
    return packed


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Map x (..., in) to x·weightᵀ + bias, (..., out), with oneDNN.

    weight: (out, in), in the dtype of x. Packing it with `pack` avoids a copy on every call.
    """
    y: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return y


def frozen_linear(weight: Tensor, bias: Tensor | None) -> Callable[[Tensor], Tensor]:
    """Return the map x -> x·weightᵀ + bias, differentiable with respect to x only.

    The product is computed and returned in the weight's dtype, float32 or bfloat16. The backward
    pass always uses a packed weight, packed when it is first needed. The forward pass uses one only
    in bfloat16, because in float32, packing would save less time and take twice as much memory.
    """
    weight = weight.detach()
    dtype, adjoint = weight.dtype, cache(partial(_adjoint, weight))
    if dtype == torch.bfloat16:
        weight = pack(weight)
    bias = None if bias is None else bias.detach()

    def linear(x: Tensor) -> Tensor:
        if not x.requires_grad:
            return product(x.to(dtype), weight, bias)
        y: Tensor = _Linear.apply(x.to(dtype), weight, bias, adjoint)
        return y

    return linear


def _adjoint(weight: Tensor) -> Tensor:
    return pack(weight.t())


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, adjoint: Callable[[], Tensor]
    ) -> Tensor:
        ctx.adjoint = adjoint
        return product(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return product(gradient, ctx.adjoint()), None, None, None


def multiply_in_onednn(network: nn.Module) -> None:
    """Make a frozen network's linear layers run in oneDNN, in the dtype of their weights.

    The network is changed in place. Parameters and state-dict keys stay the same. Causal
    self-attention computes queries, keys and values as one product.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            _replace(layer, "forward", frozen_linear(layer.weight, layer.bias))
        elif isinstance(layer, PatchEmbedding):
            _replace(layer, "project", frozen_linear(layer.weight.flatten(1), layer.bias))
        elif isinstance(layer, SelfAttention):
            _replace(layer, "project", frozen_linear(layer.in_proj_weight, layer.in_proj_bias))
        elif isinstance(layer, CausalSelfAttention):
            _replace(layer, "project", _joint_projection(layer))


def _replace(layer: nn.Module, method: str, function: Callable[[Tensor], Any]) -> None:
    setattr(layer, method, function)


def _joint_projection(layer: CausalSelfAttention) -> Callable[[Tensor], tuple[Tensor, ...]]:
    parts = layer.query, layer.key, layer.value
    weight, bias = torch.cat([p.weight for p in parts]), torch.cat([p.bias for p in parts])
    linear = frozen_linear(weight, bias)
    return lambda x: linear(x).chunk(3, -1)
