"""Cut methods: how the cutouts of a step frame the image, before they are augmented.

A method draws one homography per cutout. What it does with images that are not square, and
beyond their edge, is its own choice, said in its docstring.
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
    """Where ``n`` cutouts lie: ``homographies`` (n, 3, 3), cutout to image.

    ``reflect`` (n,) and ``fill`` (n, 3): what lies beyond the image, as in
    :class:`vqclip.generation.cutouts.sampling.Warps`. ``pooled``: the cutouts are taken from the
    image pooled to one square instead of from the image itself.
    """

    homographies: Tensor
    reflect: Tensor
    fill: Tensor
    pooled: bool = False


def mirrored(homographies: Tensor) -> Framing:
    """Frame by ``homographies``; beyond the image it is mirrored."""
    n = len(homographies)
    return Framing(homographies, torch.ones(n), torch.zeros(n, 3))


def square_boxes(sides: Tensor, position: Tensor, image_hw: tuple[int, int]) -> Tensor:
    """Return (n, 3, 3) maps onto squares of whole pixels at ``position`` (n, 2) in [0, 1)."""
    height, width = image_hw
    left = (position[:, 0] * (width - sides + 1)).floor()
    top = (position[:, 1] * (height - sides + 1)).floor()
    return geometry.boxes(left / width, top / height, sides / width, sides / height)


def crops(draw: Draw, image_hw: tuple[int, int], size: int, cut_power: float) -> Framing:
    """Square crops with sides from ``min(size, short side)`` to the short side, anywhere.

    The side is spread by ``u ** cut_power``, u uniform in [0, 1): a larger power, smaller crops.
    Never distorts; a wide image is seen through squares of at most its height. An image
    smaller than ``size`` is seen whole along its short side. From the original notebook by
    Katherine Crowson; "original", "updated" and "nrupdated" of nerdyrodent/VQGAN-CLIP, all of
    rkhamilton's methods without "pooling" in the name, "sg3" included, whose averaging of each
    crop is here the antialiasing that every method has.
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
    """Square crops with sides of N(mean, std) times the short side, clipped to [low, high] of it.

    ``low=0`` stands for ``size`` itself, as in EleutherAI's "latest"; big-sleep uses 0.5 to 0.95.
    ``center_focus`` above 0 draws the place around the centre too, with a standard deviation of
    half the room divided by it, and uniformly where that falls outside: big-sleep's
    ``center_bias`` is 2. Never distorts. ``cut_power`` is not used.
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
    """The whole image, pooled to size × size as (average + maximum) / 2, once per cutout.

    All variety comes from the augmentations. Black beyond the edge. An image that is not square
    is distorted into one, as in nerdyrodent's "latest" and "updatedpooling"; take ``crops`` for
    those. ``cut_power`` is not used.
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
    """A fraction ``zoomed`` of the cutouts goes near, the others see the whole image.

    Near: a box of 25–95 % of the largest square in the image, its sides at 0.85–1.2, after a
    perspective of strength 0.4; mirrored beyond the edge. Wide: a square a little larger than the
    long side, anywhere around the image, after a perspective of strength 0.2, on a ground of
    random colour. Near boxes are stretched to the square by at most that ratio; wide ones never.
    After pixray's cutouts (60 % and 40 %). ``cut_power`` is not used.
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
    """Return (n, 3, 3) maps onto nearly square boxes, of 25–95 % of the largest square."""
    height, width = image_hw
    area, ratio = draw.uniform(0.25, 0.95), draw.log_uniform(0.85, 1.2)
    box_w = (area * ratio).sqrt().clamp_max(1) * min(image_hw) / width
    box_h = (area / ratio).sqrt().clamp_max(1) * min(image_hw) / height
    position = draw.uniform(0, 1, 2)
    left, top = position[:, 0] * (1 - box_w), position[:, 1] * (1 - box_h)
    return geometry.boxes(left, top, box_w, box_h)


def wide_boxes(draw: Draw, image_hw: tuple[int, int]) -> Tensor:
    """Return (n, 3, 3) maps onto squares that hold the whole image."""
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
