"""Cutouts: views of the image that the perceptor embeds at each step.

Crops, flips, affine maps, perspective and bending are merged into one map per cutout and applied in
a single antialiased ``grid_sample``. Colour changes, erasing and noise follow. The random
numbers for a step are all drawn in advance, as a plan, so the result does not depend on the chunk
size:

>>> image = torch.rand(1, 3, 64, 64)
>>> cutouts = Cutouts(num_cutouts=32, augment=("flip", "affine(degrees=10)", "jitter"))
>>> plan = cutouts.plan(image.shape[2:], size=32, generator=torch.Generator())
>>> cutouts.apply(image, plan, 0, 16).shape
torch.Size([16, 3, 32, 32])
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial, reduce

import torch
import torch.nn.functional as F
from torch import Tensor

from vqclip.config import GenerateConfig
from vqclip.errors import UsageError
from vqclip.generation.cutouts.augmentations import AUGMENTATIONS, Contribution
from vqclip.generation.cutouts.drawing import Draw
from vqclip.generation.cutouts.geometry import Displacement, Elastic, ThinPlate
from vqclip.generation.cutouts.methods import CUT_METHODS, Framing
from vqclip.generation.cutouts.photometric import Custom, CustomAugmentation, Noise, Photometric
from vqclip.generation.cutouts.specification import bind
from vqclip.generation.cutouts.warping import Warps, level_of, warped_cutouts
from vqclip.registry import own_function


@dataclass(frozen=True)
class CutoutPlan:
    """The random numbers for one step: CPU tensors with one row per cutout.

    size: side of a cutout in pixels.
    image_hw: image size that the plan was drawn for.
    pooled: whether the image is first pooled to size × size.
    warps: position of each cutout.
    steps: photometric steps, in order.
    """

    size: int
    image_hw: tuple[int, int]
    pooled: bool
    warps: Warps
    steps: tuple[Photometric, ...]

    def __len__(self) -> int:
        return len(self.warps.homographies)

    @property
    def levels(self) -> list[int]:
        """The levels of the prefiltered image copies that the cutouts need, finest first."""
        return sorted(set(self.warps.levels.tolist()))


class Cutouts:
    """Random cutouts of images, with the same defaults as :class:`vqclip.GenerateConfig`.

    Args:
        method: a name in :data:`CUT_METHODS`, optionally with parameters: ``"zoom(zoomed=0.5)"``.
        num_cutouts: number of cutouts per step, at least 1.
        cut_power: exponent for the crop sizes, above 0; only the methods ``crops`` and
            ``avg-pooled`` use it.
        augment: names in :data:`AUGMENTATIONS`, optionally with parameters, or callables
            (n, 3, h, w) -> (n, 3, h, w). Geometric augmentations are applied first, and then the
            others in order. A callable is called on one chunk at a time and must draw its own
            random numbers.
        noise: each cutout's Gaussian noise has a standard deviation drawn uniformly from [0,
            noise].

    Raises:
        UsageError: a name or parameter is unknown, or a number is out of range.
    """

    def __init__(
        self,
        method: str = GenerateConfig.cut_method,
        num_cutouts: int = GenerateConfig.num_cutouts,
        cut_power: float = GenerateConfig.cut_power,
        augment: Sequence[str | CustomAugmentation] = GenerateConfig.augment,
        noise: float = GenerateConfig.noise,
    ) -> None:
        if num_cutouts < 1:
            raise UsageError(f"num_cutouts is {num_cutouts}; use at least 1")
        if not 0 < cut_power < float("inf"):
            raise UsageError(f"cut_power is {cut_power}; use a number above 0")
        if not 0 <= noise < float("inf"):
            raise UsageError(f"noise is {noise}; use 0 or more")
        self.num_cutouts = num_cutouts
        self.cut_power = cut_power
        self.noise = noise
        self._frame: Callable[..., Framing] = bind(method, CUT_METHODS)
        self._augment = [_augmentation(entry) for entry in augment]

    def plan(self, image_hw: tuple[int, int], size: int, generator: torch.Generator) -> CutoutPlan:
        """Draw the plan of one step's cutouts for an image of size ``image_hw``.

        size: side of the cutouts in pixels.
        generator: a CPU generator, the only source of randomness; each call advances it.
        """
        height, width = image_hw
        draw = Draw(self.num_cutouts, generator)
        with torch.autocast("cpu", enabled=False):  # draw in float32 even under autocast
            framing = self._frame(draw, (height, width), size, self.cut_power)
            contributions = [augment(draw) for augment in self._augment]
            contributions.append(Noise(draw.uniform(0, self.noise), draw.seeds()))
            texture_hw = (size, size) if framing.pooled else (height, width)
            warps = _warps(framing, contributions, texture_hw, size)
        steps = tuple(c for c in contributions if not isinstance(c, Tensor | Elastic | ThinPlate))
        return CutoutPlan(size, (height, width), framing.pooled, warps, steps)

    def apply(self, image: Tensor, plan: CutoutPlan, start: int, stop: int) -> Tensor:
        """Return cutouts ``start`` to ``stop`` of the plan, differentiable in ``image``.

        ``image``, with values in [0, 1], has the plan's size. Its shape is (1, 3, h, w) or, for one
        image per cutout, (stop - start, 3, h, w). The result (stop - start, 3, size, size) is only
        roughly in [0, 1], because colour changes and noise are not clipped. It is computed in
        float32 (or float64 for a float64 image), even under autocast.
        """
        if tuple(image.shape[2:]) != plan.image_hw:
            raise ValueError(f"image of {tuple(image.shape[2:])} for a plan of {plan.image_hw}")
        with torch.autocast(image.device.type, enabled=False):
            image = image if image.dtype == torch.float64 else image.float()
            image = pool(image, plan.size) if plan.pooled else image
            batch = warped_cutouts(image, plan.warps.rows(start, stop), plan.size, plan.levels)
            return reduce(lambda taken, step: step(taken, slice(start, stop)), plan.steps, batch)


def _augmentation(entry: str | CustomAugmentation) -> Callable[[Draw], Contribution]:
    own = own_function("augmentation", entry) if isinstance(entry, str) else entry
    if own is None:
        return bind(str(entry), AUGMENTATIONS)
    return partial(lambda step, draw: step, Custom(own))


def _warps(
    framing: Framing, contributions: list[Contribution], texture_hw: tuple[int, int], size: int
) -> Warps:
    maps = [c for c in contributions if isinstance(c, Tensor)]
    bent: tuple[Displacement, ...] = tuple(
        c for c in contributions if isinstance(c, Elastic | ThinPlate)
    )
    homographies = reduce(torch.matmul, maps, framing.homographies)
    levels = level_of(homographies, texture_hw, size)
    return Warps(homographies, bent, levels, framing.reflect, framing.fill)


def pool(image: Tensor, size: int) -> Tensor:
    """Return ``image`` pooled to size × size: the mean of average and maximum pooling."""
    return (F.adaptive_avg_pool2d(image, size) + F.adaptive_max_pool2d(image, size)) / 2
