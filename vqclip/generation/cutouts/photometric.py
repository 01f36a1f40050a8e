"""Photometric steps, which change pixel values randomly for each cutout.

A step holds CPU tensors with one row per cutout in the plan. It is called with a chunk of cutouts
(n, 3, h, w) and their rows in the plan.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vqclip.config.checks import name_of
from vqclip.errors import UsageError, shape_of

# Changes a chunk of cutouts (n, 3, h, w), given its rows in the plan.
Photometric = Callable[[Tensor, slice], Tensor]
CustomAugmentation = Callable[[Tensor], Tensor]  # a user's function, (n, 3, h, w) -> (n, 3, h, w)

LUMA = (0.299, 0.587, 0.114)  # Rec. 601, as in torchvision and kornia


@dataclass(frozen=True)
class Colour:
    """Brightness, contrast, saturation and hue as a 3×3 colour matrix and an offset.

    The changes are made in this order: multiply by the brightness; scale by the contrast about the
    cutout's mean luma; scale by the saturation about each pixel's own luma; rotate by the hue about
    the grey axis. Each change is linear in the colour, so a single pass applies them all. Nothing
    is clipped, so the gradient reaches every pixel. All four attributes have shape (n,); the hue is
    in turns.
    """

    brightness: Tensor
    contrast: Tensor
    saturation: Tensor
    hue: Tensor

    def __call__(self, batch: Tensor, rows: slice) -> Tensor:
        """Return the recoloured batch."""
        gain = (self.brightness * self.contrast)[rows, None, None]
        matrix = gain * hue_matrices(self.hue[rows]) @ saturation_matrices(self.saturation[rows])
        pixels = batch.flatten(2)  # (n, 3, h*w)
        coloured = torch.bmm(matrix.to(batch), pixels)
        pivot = (self.brightness * (1 - self.contrast))[rows]
        if pivot.any():
            # the backward pass of mean() would write and divide a whole batch of equal gradients
            mean = pixels.sum(dim=2) / pixels.shape[2]
            grey = torch.einsum("nc,c->n", mean, batch.new_tensor(LUMA))
            coloured = coloured + (pivot.to(batch) * grey)[:, None, None]
        return coloured.view_as(batch)


def saturation_matrices(factors: Tensor) -> Tensor:
    """Return matrices (n, 3, 3) that scale colours about their luma by ``factors`` (n,)."""
    grey = torch.tensor(LUMA).expand(3, 3)
    return grey + factors[:, None, None] * (torch.eye(3) - grey)


def hue_matrices(turns: Tensor) -> Tensor:
    """Return (n, 3, 3) rotations about the grey axis (1, 1, 1), by Rodrigues' formula."""
    angle = (2 * math.pi * turns)[:, None, None]
    axis = torch.full((3, 3), 1 / 3)
    turn = torch.tensor([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]]) / math.sqrt(3)
    return angle.cos() * (torch.eye(3) - axis) + axis + angle.sin() * turn


@dataclass(frozen=True)
class Sharpen:
    """A blend with a copy smoothed over 3×3 pixels; 0 smooths, and factors above 1 sharpen."""

    factors: Tensor

    def __call__(self, batch: Tensor, rows: slice) -> Tensor:
        """Return the blended batch."""
        if (self.factors == 1).all():
            return batch
        # PIL's smoothing kernel is (4·centre + 9·box) / 13, so only the box needs a pass.
        box = F.avg_pool2d(batch, 3, stride=1, padding=1, count_include_pad=False)
        amount = (self.factors[rows] - 1).to(batch)[:, None, None, None]
        return torch.addcmul(batch, amount * (9 / 13), batch - box)


@dataclass(frozen=True)
class Erase:
    """Black rectangles, at most one per cutout.

    corner, sides: (n, 2), x and y as fractions of the cutout's side.
    """

    corner: Tensor
    sides: Tensor

    def __call__(self, batch: Tensor, rows: slice) -> Tensor:
        """Return the batch with each rectangle set to 0."""
        height, width = batch.shape[2:]
        low, high = self.corner[rows].to(batch), (self.corner + self.sides)[rows].to(batch)
        across = between(width, low[:, :1], high[:, :1])
        down = between(height, low[:, 1:], high[:, 1:])
        erased = (down[:, :, None] & across[:, None, :])[:, None]
        return batch * ~erased  # a third of the time of masked_fill, which copies first


def between(count: int, low: Tensor, high: Tensor) -> Tensor:
    """Return (n, count) booleans: whether each of ``count`` pixel centres is in [low, high).

    The pixels divide the interval [0, 1] evenly.
    """
    centres = torch.arange(1, 2 * count, 2, device=low.device, dtype=low.dtype) / (2 * count)
    return (centres >= low) & (centres < high)


@dataclass(frozen=True)
class Noise:
    """Gaussian noise with one standard deviation and one seed per cutout, both (n,).

    The noise is drawn on the batch's device when the step is called. It depends only on ``std`` and
    the seeds, so it is the same for any chunk size.
    """

    std: Tensor
    seeds: Tensor

    def __call__(self, batch: Tensor, rows: slice) -> Tensor:
        """Return the noisy batch."""
        std = self.std[rows]
        if not std.any():
            return batch
        generator = torch.Generator(batch.device)
        values = torch.empty_like(batch, memory_format=torch.contiguous_format)
        drawn = zip(values.detach(), self.seeds[rows].tolist(), std.tolist(), strict=True)
        for row, seed, deviation in drawn:
            if deviation:
                row.normal_(0.0, deviation, generator=generator.manual_seed(seed))
            else:
                row.zero_()
        return batch + values


@dataclass(frozen=True)
class Custom:
    """A user's function (n, 3, h, w) -> (n, 3, h, w), called on each chunk."""

    function: CustomAugmentation

    def __call__(self, batch: Tensor, rows: slice) -> Tensor:
        """Return the result of the function.

        Raises:
            UsageError: the result is not a batch of the same shape.
        """
        changed = self.function(batch)
        if not isinstance(changed, Tensor) or changed.shape != batch.shape:
            raise UsageError(
                f"the augmentation {name_of(self.function)!r} returned {shape_of(changed)} for a "
                f"batch of shape {shape_of(batch)}: return a batch of the same shape"
            )
        return changed
