"""Views of images for training CLIP models, mostly cutouts."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vqclip.generation.cutouts import CutoutPlan, Cutouts
from vqclip.training.clip.settings import ViewSettings


def whole(pictures: Tensor, side: int) -> Tensor:
    """Resize images (n, 3, h, w) to (n, 3, side, side), as a perceptor does."""
    if pictures.shape[-2:] == (side, side):
        return pictures
    return F.interpolate(pictures, (side, side), mode="bicubic", antialias=True)


@dataclass(frozen=True)
class Views:
    """One view per image in a batch: a cutout or the whole image.

    Of the first ``count`` images, the first ``viewed`` become cutouts, and the rest stay whole. All
    images after the first ``count`` become cutouts.
    """

    cutouts: Cutouts
    plan: CutoutPlan
    viewed: int
    count: int

    def __call__(self, pictures: Tensor) -> Tensor:
        """Return views (n, 3, side, side) of a batch's first n images, (n, 3, h, w) in [0, 1]."""
        side = self.plan.size
        taken = self.cutouts.apply(pictures, self.plan, 0, len(pictures))
        rest = whole(pictures[self.viewed : self.count], side)
        return torch.cat([taken[: self.viewed], rest, taken[self.count :]])


def draw_views(
    settings: ViewSettings, count: int, more: int, picture_hw: tuple[int, int], side: int
) -> Views:
    """Draw views for ``count`` images followed by ``more`` images, using torch's generator."""
    cutouts = Cutouts(
        settings.method, count + more, settings.cut_power, settings.augment, settings.noise
    )
    plan = cutouts.plan(picture_hw, side, torch.default_generator)
    return Views(cutouts, plan, round(settings.share * count), count)
