"""What a transformer's pictures are conditioned on, as codes that precede those of the picture.

A VQGAN serves as condition stage too (for label maps, depth, edges, small pictures); those
here need no weights. Each maps the condition as given to codes, int64.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqclip.errors import UsageError
from vqclip.models.vqgan import VQModel


class StartToken(nn.Module):
    """No condition: one fixed token for every picture."""

    def __init__(self, token: int = 0) -> None:
        super().__init__()
        self.token = token

    def forward(self, x: Tensor | None) -> Tensor:
        """None -> (1, 1); anything with b entries -> (b, 1)."""
        return torch.full((1 if x is None else len(x), 1), self.token)


class ClassLabel(nn.Module):
    """The id of a class is its token."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.n_classes = n_classes

    def forward(self, x: Tensor | None) -> Tensor:
        """Ids in [0, n_classes), (b,) -> (b, 1)."""
        if x is None or x.ndim != 1 or x.is_floating_point():
            raise UsageError("this transformer needs class ids, whole numbers of shape (b,)")
        if len(x) and (int(x.min()) < 0 or int(x.max()) >= self.n_classes):
            raise UsageError(f"class ids are 0 to {self.n_classes - 1}; got {x.tolist()!s:.80}")
        return x[:, None].long()


class Coordinates(nn.Module):
    """Where in the picture a cell lies: the mean coordinate, rounded to ``n_embed`` steps."""

    def __init__(self, n_embed: int, down_factor: int) -> None:
        super().__init__()
        self.n_embed = n_embed
        self.downsampling = down_factor

    def forward(self, x: Tensor | None) -> Tensor:
        """Coordinates in [0, 1], (b, 1, H, W) -> (b, H/f, W/f); see :func:`coordinates`."""
        if x is None or x.ndim != 4 or x.shape[1] != 1:
            raise UsageError("this transformer needs coordinates of shape (b, 1, H, W)")
        if min(x.shape[2:]) < self.downsampling:
            raise UsageError(f"coordinates need at least {self.downsampling} pixels a side")
        x = x.float()
        if not (x.amin() >= 0 and x.amax() <= 1):  # also where there are NaN
            raise UsageError("coordinates must be within 0 and 1")
        means = F.interpolate(x, scale_factor=1 / self.downsampling, mode="area")
        return (self.n_embed * means.clamp(0, 1)).round().long().squeeze(1)


class GivenCodes(nn.Module):
    """The condition comes as codes already, such as the boxes of a scene."""

    def forward(self, x: Tensor | None) -> Tensor:
        """Codes (b, m) as they are."""
        if x is None or x.ndim < 2 or x.is_floating_point():
            raise UsageError("this transformer needs condition codes, whole numbers (b, m)")
        return x.long()


def coordinates(height: int, width: int) -> Tensor:
    """Number the pixels of a picture row by row within [0, 1): (1, 1, height, width)."""
    count = height * width
    return (torch.arange(count, dtype=torch.float64) / count).float().view(1, 1, height, width)


def vq_codes(stage: VQModel, x: Tensor | None) -> Tensor:
    """Codes of a condition picture: (b, c, H, W) -> (b, H/f, W/f)."""
    channels = stage.ddconfig.in_channels
    if x is None or x.ndim != 4 or x.shape[1] != channels:
        shape = None if x is None else tuple(x.shape)
        raise UsageError(
            f"this transformer's condition is a picture (b, {channels}, H, W), not {shape}"
        )
    indices: Tensor = stage.quantize(stage.encode(x.to(stage.codebook.dtype)))[1]
    return indices
