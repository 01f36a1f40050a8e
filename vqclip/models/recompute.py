"""Blocks whose activations are computed again when the gradient needs them, to save memory."""

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

# Bytes of one activation at a decoder's full resolution. f16 has so many from about 900x900 pixels
# on in bfloat16; below that, recomputing would cost a fifth of its time for memory that is there.
LARGE = 192 << 20
_KEPT = 16  # activations of that size that a decoder keeps at the same time


def is_scarce(size: int, device: torch.device) -> bool:
    """Return whether memory may not suffice for all activations, the largest of ``size`` bytes."""
    if device.type == "cuda":
        return size * _KEPT > torch.cuda.mem_get_info(device)[0]
    return size >= LARGE


def apply_block(block: nn.Module, x: Tensor, *, recompute: bool) -> Tensor:
    """Return ``block(x)``; with ``recompute`` nothing but x is kept for the gradient.

    The result and the gradient are the same either way.
    """
    if not (recompute and x.requires_grad and torch.is_grad_enabled()):
        y: Tensor = block(x)
        return y
    recomputed: Tensor = checkpoint(block, x, use_reentrant=False, preserve_rng_state=False)
    return recomputed
