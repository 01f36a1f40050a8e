"""Frozen 3x3 Winograd convolutions for the CPU, with a quarter of the multiplications.

They use Winograd's minimal filtering F(4x4, 3x3) as in Lavin & Gray, "Fast Algorithms for
Convolutional Neural Networks" (2016, arXiv:1509.09308). The output is cut into tiles of 4x4 pixels.
Each tile's 6x6 inputs d and the kernel g are evaluated at 6x6 points:
Y = Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A. The sum over channels at each point is a matrix product. In the
channels-last layout, the transforms are sums of long rows. Only a few rows of tiles are processed
at a time, so they stay in the cache.
"""

import math
import threading
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vqclip.models.products import pack, prefers_onednn, product

POINTS = 6  # 0, 1, -1, 2, -2 and infinity, along each axis
TILE = 4  # outputs per tile along each axis
_CACHE_FLOATS = 1 << 21  # size of a block of transformed tiles: 8 MiB, part of the L3 cache
_KERNEL_TRANSFORM = (  # G
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)


class WinogradConv2d(nn.Module):
    """A 3x3 convolution (stride 1, padding 1) with frozen weights.

    It replaces ``conv`` and keeps its parameters under the same names. Gradients are available only
    with respect to the input. Input and output are float32, (b, c, h, w) in channels-last order.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.weight, self.bias = conv.weight, conv.bias
        weight = conv.weight.detach()
        adjoint = weight.flip(2, 3).transpose(0, 1)
        self.kernels = Kernels(transform_kernels(weight))
        self.adjoint_kernels = Kernels(transform_kernels(adjoint))

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, in, h, w) -> (b, out, h, w)."""
        y: Tensor = _Convolution.apply(x, self.kernels, self.adjoint_kernels, self.bias)
        return y


def fits(conv: nn.Conv2d) -> bool:
    """Return whether :class:`WinogradConv2d` can replace ``conv``."""
    return (
        (conv.kernel_size, conv.stride, conv.dilation) == ((3, 3), (1, 1), (1, 1))
        and (conv.padding, conv.padding_mode, conv.groups) == ((1, 1), "zeros", 1)
        and not conv.weight.requires_grad
    )


class Kernels:
    """Transformed kernels (36, in, out): one matrix for each of a tile's 36 points.

    oneDNN, which is used where it is faster, computes one product at a time. MKL computes all
    products at once.
    """

    def __init__(self, kernels: Tensor) -> None:
        self.c_out = kernels.shape[2]
        self.kernels: Tensor | list[Tensor] = kernels
        if prefers_onednn():
            self.kernels = [pack(kernel.t()) for kernel in kernels]

    def multiply(self, tiles: Tensor) -> Sequence[Tensor]:
        """Map tiles (36, m, in) to products with the kernels, 36 x (m, out), in scratch memory."""
        if isinstance(self.kernels, list):
            return [product(*pair) for pair in zip(tiles, self.kernels, strict=True)]
        products = _workspace("products", POINTS**2, tiles.shape[1], self.c_out)
        return torch.bmm(tiles, self.kernels, out=products).unbind()


class _Convolution(torch.autograd.Function):
    """Convolution whose input gradient is a convolution with rotated, transposed kernels."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, kernels: Kernels, adjoint_kernels: Kernels, bias: Tensor | None
    ) -> Tensor:
        ctx.adjoint_kernels = adjoint_kernels
        return convolve(x, kernels, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return convolve(gradient, ctx.adjoint_kernels, None), None, None, None


def transform_kernels(weight: Tensor) -> Tensor:
    """Return G g Gᵀ of all kernels, (out, in, 3, 3) -> (36, in, out), computed in float64."""
    g = torch.tensor(_KERNEL_TRANSFORM, dtype=torch.float64, device=weight.device)
    # horizontal points come first, then vertical, to match the transformed tiles
    transformed = torch.einsum("px,qy,oiyx->pqio", g, g, weight.double())
    return transformed.flatten(0, 1).to(weight.dtype).contiguous()


def convolve(x: Tensor, kernels: Kernels, bias: Tensor | None) -> Tensor:
    """Convolve x (b, in, h, w), padded by 1, with kernels -> (b, out, h, w)."""
    x = x.permute(0, 2, 3, 1).contiguous()  # (b, h, w, in): no copy for channels-last x
    b, height, width, _ = x.shape
    rows = math.ceil(height / TILE)
    y = x.new_empty(b, TILE * rows, width, kernels.c_out)
    for image, result in zip(x, y, strict=True):
        _convolve_image(image, kernels, bias, result)
    return y[:, :height].permute(0, 3, 1, 2)


def _convolve_image(x: Tensor, kernels: Kernels, bias: Tensor | None, y: Tensor) -> None:
    """Convolve x (h, w, in) into y (4 * rows, w, out), one block of tile rows at a time."""
    (height, width, channels), rows = x.shape, len(y) // TILE
    tiles = math.ceil(width / TILE)  # per row
    widest = max(channels, kernels.c_out)
    step = max(1, min(rows, _CACHE_FLOATS // (POINTS**2 * tiles * widest)))
    halo = _workspace("halo", TILE * step + 2, width, channels)
    for row in range(0, rows, step):
        n = min(step, rows - row)
        first, last = TILE * row - 1, TILE * (row + n) + 1
        if first < 0 or last > height:  # padding above or below
            block = halo[: last - first].zero_()
            inside = slice(max(first, 0), min(last, height))
            block[inside.start - first : inside.stop - first] = x[inside]
        else:
            block = x[first:last]
        _convolve_block(block, kernels, bias, y[TILE * row : TILE * (row + n)])


def _convolve_block(x: Tensor, kernels: Kernels, bias: Tensor | None, y: Tensor) -> None:
    """Convolve x (4n + 2, w, in) into y (4n, w, out)."""
    (_, width, c_in), c_out, n = x.shape, kernels.c_out, len(y) // TILE
    tiles = math.ceil(width / TILE)
    down = _workspace("down", POINTS, n, TILE * tiles + 2, c_in)
    down[:, :, 0], down[:, :, width + 1 :] = 0, 0  # padding left and right
    _transform_tiles(_taps(x, n, POINTS), down[:, :, 1 : width + 1].unbind())
    points = _workspace("points", POINTS, POINTS, n, tiles, c_in)
    _transform_tiles(_taps(down.movedim(2, 0), tiles, POINTS), points.movedim(3, 1).unbind())
    products = kernels.multiply(points.view(POINTS**2, n * tiles, c_in))
    if bias is not None:  # point 1 contributes to every output with weight 1
        products[POINTS + 1].add_(bias)
    across = _workspace("across", POINTS, n, TILE * tiles, c_out)
    for point, row in enumerate(across):  # down; the points across are summed
        parts = [one.view(n, tiles, c_out).movedim(1, 0) for one in products[point::POINTS]]
        _gather_tiles(parts, _taps(row.movedim(1, 0), tiles, TILE))
    _gather_tiles(across[:, :, :width].unbind(), _taps(y, n, TILE))


def _taps(x: Tensor, n: int, count: int) -> list[Tensor]:
    """Return, for each of ``count`` offsets in a tile, the rows of x at that offset in n tiles."""
    return [x[k : k + TILE * (n - 1) + 1 : TILE] for k in range(count)]


def _transform_tiles(d: Sequence[Tensor], out: Sequence[Tensor]) -> None:
    """Compute Bᵀ d along one axis in 12 sums, using the outputs as scratch memory."""
    d0, d1, d2, d3, d4, d5 = d
    o0, o1, o2, o3, o4, o5 = out
    torch.sub(d4, d2, alpha=4, out=o1)
    torch.sub(d3, d1, alpha=4, out=o3)
    torch.sub(o1, o3, out=o2)  # 4 d1 - 4 d2 - d3 + d4
    o1.add_(o3)  # -4 d1 - 4 d2 + d3 + d4
    torch.sub(d4, d2, out=o4)
    torch.sub(d3, d1, out=o5)
    torch.add(o4, o5, alpha=2, out=o3)  # -2 d1 - d2 + 2 d3 + d4
    torch.sub(d0, d2, out=o0)
    torch.add(o4, o0, alpha=4, out=o0)  # 4 d0 - 5 d2 + d4
    o4.sub_(o5, alpha=2)  # 2 d1 - d2 - 2 d3 + d4
    torch.sub(d5, o5, alpha=4, out=o5)
    o5.sub_(d3)  # 4 d1 - 5 d3 + d5


def _gather_tiles(m: Sequence[Tensor], out: Sequence[Tensor]) -> None:
    """Compute Aᵀ m along one axis in 10 sums, overwriting m."""
    m0, m1, m2, m3, m4, m5 = m
    y0, y1, y2, y3 = out
    torch.add(m1, m2, out=y2)
    torch.sub(m1, m2, out=y3)
    torch.add(m3, m4, out=m1)
    torch.sub(m3, m4, out=m2)
    torch.add(m0, y2, out=y0)
    y0.add_(m1)  # m0 + m1 + m2 + m3 + m4
    torch.add(y3, m2, alpha=2, out=y1)  # m1 - m2 + 2 m3 - 2 m4
    y2.add_(m1, alpha=4)  # m1 + m2 + 4 m3 + 4 m4
    y3.add_(m2, alpha=8)
    y3.add_(m5)  # m1 - m2 + 8 m3 - 8 m4 + m5


_local = threading.local()


def _workspace(name: str, *shape: int) -> Tensor:
    """Return uninitialized scratch memory, reused across calls because fresh pages are slow."""
    buffers: dict[str, Tensor] = _local.__dict__
    size = math.prod(shape)
    if name not in buffers or len(buffers[name]) < size:
        buffers[name] = torch.empty(size)
    return buffers[name][:size].view(shape)
