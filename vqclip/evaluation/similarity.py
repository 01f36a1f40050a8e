"""Structural similarity (Wang et al. 2004), and ranks of correct answers."""

import torch
import torch.nn.functional as F
from torch import Tensor

_WINDOW, _SIGMA = 11, 1.5
_C1, _C2 = 0.01**2, 0.03**2  # (K·L)² for the range L = 1


def ssim(x: Tensor, y: Tensor) -> Tensor:
    """Return the mean structural similarity (b,) between images (b, c, h, w) in [0, 1].

    SSIM = (2 μx μy + C1)(2 σxy + C2) / ((μx² + μy² + C1)(σx² + σy² + C2)), computed in Gaussian
    windows of 11 pixels (σ = 1.5) that lie entirely inside the image, and averaged over positions
    and channels. The computation uses float64 on the CPU, because each variance is a small
    difference between larger numbers.
    """
    x, y = x.cpu().double(), y.cpu().double()
    channels = x.shape[1]
    kernel = _gaussian(x).expand(channels, 1, -1, -1)

    def local(values: Tensor) -> Tensor:
        return F.conv2d(values, kernel, groups=channels)

    mean_x, mean_y = local(x), local(y)
    variance_x = local(x * x) - mean_x.square()
    variance_y = local(y * y) - mean_y.square()
    covariance = local(x * y) - mean_x * mean_y
    means = (2 * mean_x * mean_y + _C1) / (mean_x.square() + mean_y.square() + _C1)
    return (means * (2 * covariance + _C2) / (variance_x + variance_y + _C2)).mean((1, 2, 3))


def _gaussian(like: Tensor) -> Tensor:
    """Return the Gaussian window, (11, 11), with sum 1."""
    places = torch.arange(_WINDOW, dtype=like.dtype, device=like.device) - _WINDOW // 2
    line = torch.exp(-places.square() / (2 * _SIGMA**2))
    line = line / line.sum()
    return line[:, None] * line


def places(similarity: Tensor, own: Tensor) -> Tensor:
    """Return the rank (n,), from 0, of the correct answer in each row; ties count against it.

    similarity: (n, m).
    own: (n,), the column of each row's correct answer.
    """
    mine = similarity.gather(1, own[:, None])
    return (similarity >= mine).sum(1) - 1
