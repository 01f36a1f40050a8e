"""Pixel and adversarial losses for training a VQGAN."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from vqclip.registry import Registry

_DELTA = 1e-4
_MOST_WEIGHT = 1e4
_BORDER = 6  # width of the border in pixels
_SCALE = 2.0**16  # scales losses so that small gradients do not underflow in float16


def l1_loss(x: Tensor, y: Tensor, weight: Tensor | float = 1.0) -> Tensor:
    """Return the mean of weight · |x − y|."""
    return ((x - y).abs() * weight).mean()


def l2_loss(x: Tensor, y: Tensor, weight: Tensor | float = 1.0) -> Tensor:
    """Return the mean of weight · (x − y)²."""
    return ((x - y).square() * weight).mean()


def mixed_loss(x: Tensor, y: Tensor, weight: Tensor | float = 1.0) -> Tensor:
    """Return the mean of the L1 and L2 losses."""
    return (l1_loss(x, y, weight) + l2_loss(x, y, weight)) / 2


def border_weights(height: int, width: int, weight: float) -> Tensor:
    """Return a weight for each pixel's error, (height, width), with mean 1.

    The outer 6 rows and columns on each side count ``weight`` times as much as the inner ones, and
    the corners ``weight``² times as much. Otherwise, pixels near the border would be learned last,
    because they have less context.
    """
    rows, columns = (torch.ones(side) for side in (height, width))
    for line in (rows, columns):
        line[:_BORDER] = line[-_BORDER:] = weight
    weights = rows[:, None] * columns
    return weights / weights.mean()


def hinge_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Return ½ (mean relu(1 − D(x)) + mean relu(1 + D(x̂))) for logits of any shape."""
    return 0.5 * (F.relu(1 - real).mean() + F.relu(1 + fake).mean())


def vanilla_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Return ½ (mean softplus(−D(x)) + mean softplus(D(x̂))) for logits of any shape."""
    return 0.5 * (F.softplus(-real).mean() + F.softplus(fake).mean())


PIXEL_LOSSES = Registry("pixel loss", {"l1": l1_loss, "l2": l2_loss, "mix": mixed_loss})
DISCRIMINATOR_LOSSES = Registry(
    "discriminator loss", {"hinge": hinge_loss, "vanilla": vanilla_loss}
)


def adaptive_weight(reconstruction: Tensor, adversarial: Tensor, layer: Tensor) -> Tensor:
    """Return λ = ‖∇ reconstruction‖ / (‖∇ adversarial‖ + 1e-4) at ``layer``, clamped to [0, 1e4].

    Both losses are scalars whose graphs are kept. λ is float32 even under autocast, and detached
    from the graph.
    """
    norms = [
        torch.autograd.grad(_SCALE * loss, layer, retain_graph=True)[0].float().norm() / _SCALE
        for loss in (reconstruction, adversarial)
    ]
    weight: Tensor = norms[0] / (norms[1] + _DELTA)
    return weight.clamp(0, _MOST_WEIGHT).detach()


def wide_enough(device: torch.device) -> AbstractContextManager[Any]:
    """Disable float16 autocast in the block, for networks that overflow in float16."""
    kind = device.type
    if torch.is_autocast_enabled(kind) and torch.get_autocast_dtype(kind) == torch.float16:
        return torch.autocast(kind, enabled=False)
    return nullcontext()
