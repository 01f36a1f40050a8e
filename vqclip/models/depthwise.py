"""Depthwise convolutions that a CPU computes faster in float32 than in half precision.

With one filter a channel there is no matrix product to speed up, and the library's gradients of
such convolutions in bfloat16 take up to thirty times as long wherever the stride or the kernel is
large (``benchmarks/depthwise.py``).
"""

from typing import Any, cast

import torch
from torch import Tensor, nn


def depthwise_in_float32(network: nn.Module) -> nn.Module:
    """Let the slow ones among a network's depthwise convolutions run in float32 on a CPU.

    In place; weights and keys stay as they are, and so do results without autocast.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and not isinstance(module, _Float32) and _is_slow(module):
            module.__class__ = _in_float32(type(module))
    return network


def runs_in_float32(module: nn.Module) -> bool:
    """Whether a module is one of these, whose weights are to stay in float32."""
    return isinstance(module, _Float32)


def _is_slow(conv: nn.Conv2d) -> bool:
    depthwise = conv.groups > 1 and conv.groups == conv.in_channels
    return depthwise and (max(conv.stride) > 1 or max(conv.kernel_size) > 3)


class _Float32(nn.Module):
    """Mixed into a kind of convolution: on a CPU, its own forward without autocast."""

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, c, h', w'), of the type of ``x``."""
        own: Any = super()
        if x.device.type != "cpu":
            return cast(Tensor, own.forward(x))
        with torch.autocast("cpu", enabled=False):
            return cast(Tensor, own.forward(x.float())).to(x.dtype)


_kinds: dict[type, type[nn.Conv2d]] = {}  # so that equal layers have equal types


def _in_float32(kind: type[nn.Conv2d]) -> type[nn.Conv2d]:
    if kind not in _kinds:
        _kinds[kind] = type(f"Float32{kind.__name__}", (_Float32, kind), {})
    return _kinds[kind]
