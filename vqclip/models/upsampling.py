"""Nearest-neighbour upsampling fused with the convolution after it.

A 3x3 window on the doubled image covers several copies of the same pixel, whose weights add up. The
output at each of a pixel's four copies therefore needs only a 2x2 window on the small image, so the
four outputs take 16 products instead of 36. This is the reverse of the sub-pixel convolution of Shi
et al. 2016 (arXiv:1609.05158).
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqclip.models.autoencoder import Upsample

_PHASES = tuple((row, column) for row in (0, 1) for column in (0, 1))


class FusedUpsample(nn.Module):
    """Replacement, with the same parameters, for a frozen :class:`Upsample` with a convolution."""

    kernels: Tensor
    biases: Tensor

    def __init__(self, upsample: Upsample) -> None:
        super().__init__()
        self.conv: nn.Conv2d = upsample.conv
        assert self.conv.bias is not None
        self.register_buffer("kernels", phase_kernels(self.conv.weight), persistent=False)
        self.register_buffer("biases", self.conv.bias.detach().repeat(4), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, c, h, w) -> (b, out, 2h, 2w)."""
        y: Tensor = _Interleave.apply(F.conv2d(x, self.kernels, self.biases, padding=1))
        return y


def phase_kernels(weight: Tensor) -> Tensor:
    """Return the kernels for the four phases, row by row: (out, in, 3, 3) -> (4 out, in, 2, 2).

    Along one axis, phase 0 covers the last copy of the previous pixel and both copies of the
    current pixel. Phase 1 covers both copies of the current pixel and the first copy of the next.
    The weights (a, b, c) become (a, b + c) in phase 0 and (a + b, c) in phase 1.
    """
    a, b, c = weight.detach().unbind(2)
    rows = (torch.stack((a, b + c), 2), torch.stack((a + b, c), 2))
    kernels = []
    for row in rows:
        a, b, c = row.unbind(3)
        kernels += [torch.stack((a, b + c), 3), torch.stack((a + b, c), 3)]
    return torch.cat(kernels)


class _Interleave(torch.autograd.Function):
    """Interleave four phases, each one row and one column too large, into the doubled image.

    Map (b, 4 c, h + 1, w + 1) -> (b, c, 2 h, 2 w). This is a custom autograd function because views
    and concatenations would copy everything twice.
    """

    @staticmethod
    def forward(ctx: Any, phases: Tensor) -> Tensor:
        b, channels, height, width = phases.shape
        size = (b, channels // 4, 2 * height - 2, 2 * width - 2)
        y = _empty(size, phases)
        for (row, column), part in _parts(phases):
            y[:, :, row::2, column::2] = part
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        b, channels, height, width = gradient.shape
        size = (b, 4 * channels, height // 2 + 1, width // 2 + 1)
        phases = _empty(size, gradient).zero_()
        for (row, column), part in _parts(phases):
            part.copy_(gradient[:, :, row::2, column::2])
        return phases


def _parts(phases: Tensor) -> list[tuple[tuple[int, int], Tensor]]:
    """Return each phase's offset and view (b, c, h, w)."""
    height, width = phases.shape[2] - 1, phases.shape[3] - 1
    return [
        ((row, column), part[:, :, row : row + height, column : column + width])
        for (row, column), part in zip(_PHASES, phases.chunk(4, 1), strict=True)
    ]


def _empty(size: tuple[int, ...], like: Tensor) -> Tensor:
    """Return an uninitialized tensor with the layout, dtype and device of ``like``."""
    is_last = like.is_contiguous(memory_format=torch.channels_last) and not like.is_contiguous()
    layout = torch.channels_last if is_last else torch.contiguous_format
    return torch.empty(size, dtype=like.dtype, device=like.device, memory_format=layout)
