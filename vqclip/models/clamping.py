"""Clamping of pixel values that keeps useful gradients."""

from typing import Any

import torch
from torch import Tensor


class _ClampWithGrad(torch.autograd.Function):
    """Clamp to [0, 1]; block only gradients that would push a value further out of range."""

    @staticmethod
    def forward(ctx: Any, image: Tensor) -> Tensor:
        clamped = image.clamp(0, 1)
        ctx.save_for_backward(image - clamped)
        return clamped

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        excess: Tensor = ctx.saved_tensors[0]
        return gradient * (gradient * excess >= 0)


def clamp_with_grad(image: Tensor) -> Tensor:
    """Clamp to [0, 1] without trapping pixels outside the range; see :class:`_ClampWithGrad`."""
    clamped: Tensor = _ClampWithGrad.apply(image)
    return clamped
