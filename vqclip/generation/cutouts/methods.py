"""Cut methods: how a step's cutouts are framed before augmentation.

A method draws one homography per cutout. The docstring of each method describes how it treats
images that are not square, and how it fills the area beyond the image's edge.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from vqclip.generation.cutouts import geometry
from vqclip.generation.cutouts.augmentations import perspective
from vqclip.generation.cutouts.drawing import Draw
from vqclip.registry import Registry


@dataclass(frozen=True)
class Framing:
    """The positions of ``n`` cutouts: ``homographies`` (n, 3, 3), from the cutout to the image.

    reflect, fill: the content beyond the image's edge, (n,) and (n, 3), as in
        :class:`vqclip.generation.cutouts.warping.Warps`.
    pooled: whether the image is pooled to a square before the cutouts are taken.
    """

    homographies: Tensor
    reflect: Tensor
    fill: Tensor
    pooled: bool = False


def mirrored(homographies: Tensor) -> Framing:
    """Return a framing that mirrors the image beyond its edge."""
    n = len(homographies)
    return Framing(homographies, torch.ones(n), torch.zeros(n, 3))


def square_boxes(sides: Tensor, position: Tensor, image_hw: tuple[int, int]) -> Tensor:
    """Return (n, 3, 3) maps onto squares of whole pixels at a relative ``position`` (n, 2)."""
    height, width = image_hw
    left = (position[:, 0] * (width - sides + 1)).floor()
    top = (position[:, 1] * (height - sides + 1)).floor()
    return geometry.boxes(left / width, top / height, sides / width, sides / height)


def crops(draw: Draw, image_hw: tuple[int, int], size: int, cut_power: float) -> Framing:
    """Take square crops at random positions, from CLIP's input size up to the image's short side.

    Within this range, the side is distributed as ``u ** cut_power`` with u uniform in [0, 1), so a
    larger power gives smaller crops. Crops are never distorted; in a wide image, each covers at
    most a square of the full height. If the image's short side is below ``size``, every crop spans
    that side. The image is mirrored beyond its edge. The method comes from Katherine Crowson's
    original notebook. It corresponds to "original", "updated" and "nrupdated" in
    nerdyrodent/VQGAN-CLIP and to all of rkhamilton's methods without "pooling" in their names,
    including "sg3". "sg3" averages each crop, as the antialiasing here does for every method.
    """
    short = min(image_hw)
    smallest = min(size, short)
    sides = draw.uniform(0, 1).pow(cut_power) * (short - smallest) + smallest
    return mirrored(square_boxes(sides.floor(), draw.uniform(0, 1, 2), image_hw))


def normal_crops(
    draw: Draw,
    image_hw: tuple[int, int],
    size: int,
    cut_power: float,
    *,
    mean: float = 0.8,
    std: float = 0.3,
    low: float = 0.0,
    high: float = 1.0,
    center_focus: float = 0.0,
) -> Framing:
    """Take square crops whose sides, as fractions of the short side, are drawn from N(mean, std).

    The fractions are clipped to [low, high]. ``low=0`` sets the smallest side to ``size``, as in
    EleutherAI's "latest"; big-sleep uses 0.5 to 0.95. If ``center_focus`` is above 0, positions are
    drawn around the centre, with a standard deviation of half the free space divided by
    ``center_focus``. Coordinates outside the free space are replaced by uniformly distributed ones.
    The ``center_bias`` of big-sleep corresponds to ``center_focus=2``. Crops are never distorted.
    ``cut_power`` is not used.
    """
    short = min(image_hw)
    low = low or min(size / short, 1.0)
    fractions = draw.normal(mean, std).clamp(min(low, high), min(high, 1.0))
    position = draw.uniform(0, 1, 2)
    if center_focus:
        focused = draw.normal(0.5, 0.5 / center_focus, 2)
        position = torch.where((focused >= 0) & (focused < 1), focused, position)
    sides = (short * fractions).floor().clamp_min(1)
    return mirrored(square_boxes(sides, position, image_hw))


def pooled(draw: Draw, image_hw: tuple[int, int], size: int, cut_power: float) -> Framing:
    """Use the whole image, pooled to CLIP's input size, as every cutout.

    The pooling is the mean of average and maximum pooling. The cutouts differ only by their
    augmentations. The area beyond the image's edge is black. An image that is not square is
    squashed into a square, as in nerdyrodent's "latest" and "updatedpooling"; use ``crops`` for
    such images. ``cut_power`` is not used.
    """
    n = draw.n
    return Framing(geometry.identity(n), torch.zeros(n), torch.zeros(n, 3), pooled=True)


def zoom(
    draw: Draw,
    image_hw: tuple[int, int],
    size: int,
    cut_power: float,
    *,
    zoomed: float = 0.6,
) -> Framing:
    """Take a fraction ``zoomed`` of the cutouts as close-ups and the rest as wide views.

    A close-up is a box with 25–95% of the area of the largest square in the image, an aspect ratio
    of 0.85–1.2 and a ``perspective`` distortion of 0.4. The image is mirrored beyond its edge. A
    wide view is a square that contains the whole image; its side is slightly longer than the
    image's long side. It has a ``perspective`` distortion of 0.2 and a randomly coloured
    background. Only close-ups are stretched, at most by their aspect ratio. The method is based on
    pixray's cutouts, 60% of which are close-ups. ``cut_power`` is not used.
    """
    near = torch.arange(draw.n) < round(zoomed * draw.n)
    choose = near[:, None, None]
    boxes = torch.where(choose, near_boxes(draw, image_hw), wide_boxes(draw, image_hw))
    strong, weak = (
        perspective(draw, distortion=0.4, p=0.7),
        perspective(draw, distortion=0.2, p=0.7),
    )
    fill = draw.uniform(0, 1, 3) * ~near[:, None]
    return Framing(boxes @ torch.where(choose, strong, weak), near.float(), fill)


def near_boxes(draw: Draw, image_hw: tuple[int, int]) -> Tensor:
    """Return (n, 3, 3) maps onto nearly square boxes with 25–95% of the largest square's area."""
    height, width = image_hw
    area, ratio = draw.uniform(0.25, 0.95), draw.log_uniform(0.85, 1.2)
    box_w = (area * ratio).sqrt().clamp_max(1) * min(image_hw) / width
    box_h = (area / ratio).sqrt().clamp_max(1) * min(image_hw) / height
    position = draw.uniform(0, 1, 2)
    left, top = position[:, 0] * (1 - box_w), position[:, 1] * (1 - box_h)
    return geometry.boxes(left, top, box_w, box_h)


def wide_boxes(draw: Draw, image_hw: tuple[int, int]) -> Tensor:
    """Return (n, 3, 3) maps onto squares that contain the whole image."""
    height, width = image_hw
    sides = max(image_hw) / draw.uniform(0.9, 1.0)
    position = draw.uniform(0, 1, 2)
    left, top = position[:, 0] * (width - sides), position[:, 1] * (height - sides)
    return geometry.boxes(left / width, top / height, sides / width, sides / height)


CUT_METHODS: Registry[Callable[..., Framing]] = Registry(
    "cut method",
    {
        "crops": crops,
        "avg-pooled": crops,
        "normal-crops": normal_crops,
        "pooled": pooled,
        "zoom": zoom,
    },
)
