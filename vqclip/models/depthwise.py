"""Depthwise convolutions that a CPU computes faster in float32 than in half precision.

With one filter per channel, there is no matrix product to speed up. With a large stride or kernel,
the gradients of such convolutions take up to thirty times as long in bfloat16 as in float32
(``benchmarks/depthwise.py``).
"""

from typing import Any, cast

import torch
from torch import Tensor, nn


def depthwise_in_float32(network: nn.Module) -> nn.Module:
    """Make a network's slow depthwise convolutions run in float32 on the CPU, in place.

    Weights and state-dict keys are unchanged, and so are results without autocast.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and not isinstance(module, _Float32) and _is_slow(module):
            module.__class__ = _in_float32(type(module))
    return network


def runs_in_float32(module: nn.Module) -> bool:
    """Return whether a module always runs in float32 on the CPU and so needs float32 weights."""
    return isinstance(module, _Float32)


def _is_slow(conv: nn.Conv2d) -> bool:
    depthwise = conv.groups > 1 and conv.groups == conv.in_channels
    return depthwise and (max(conv.stride) > 1 or max(conv.kernel_size) > 3)


class _Float32(nn.Module):
    """Mixin that disables autocast for convolutions on the CPU."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, c, h, w) -> (n, c, h', w'), in the dtype of the input."""
        own: Any = super()
        if x.device.type != "cpu":
            return cast(Tensor, own.forward(x))
        with torch.autocast("cpu", enabled=False):
            return cast(Tensor, own.forward(x.float())).to(x.dtype)


_kinds: dict[type, type[nn.Conv2d]] = {}  # cached so that equal layers share a type


def _in_float32(kind: type[nn.Conv2d]) -> type[nn.Conv2d]:
    if kind not in _kinds:
        _kinds[kind] = type(f"Float32{kind.__name__}", (_Float32, kind), {})
    return _kinds[kind]
