"""Recomputation of activations in the backward pass to save memory."""

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

# Bytes of one activation at a decoder's full resolution, reached by an f16 decoder at about 900x900
# pixels in bfloat16. For smaller images, memory is plentiful, and recomputing would cost a fifth of
# the time.
LARGE = 192 << 20
_KEPT = 16  # number of activations of this size that a decoder keeps at once


def is_scarce(size: int, device: torch.device) -> bool:
    """Return whether memory may be too small to keep activations of up to ``size`` bytes each."""
    if device.type == "cuda":
        return size * _KEPT > torch.cuda.mem_get_info(device)[0]
    return size >= LARGE


def apply_block(block: nn.Module, x: Tensor, *, recompute: bool) -> Tensor:
    """Return ``block(x)``; with ``recompute``, keep only ``x`` for the backward pass.

    The result and gradient are the same either way.
    """
    if not (recompute and x.requires_grad and torch.is_grad_enabled()):
        y: Tensor = block(x)
        return y
    recomputed: Tensor = checkpoint(block, x, use_reentrant=False, preserve_rng_state=False)
    return recomputed
