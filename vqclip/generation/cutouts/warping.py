"""Cutouts as warps, all sampled by one antialiased ``grid_sample``.

Bilinear sampling alone skips pixels when a cutout shrinks the image. As in mip mapping (Williams
1983), each such cutout is taken from a prefiltered, smaller copy. Level k is the image reduced by a
factor of 2^(k/2). The levels in use lie side by side in one texture, an atlas, so cutouts of all
scales share one call. If no cutout shrinks the image, no copies are made.
"""

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from vqclip.generation.cutouts.geometry import Displacement, grid, jacobian

_TALL = 4  # number of images into which the cutouts are stacked for sampling


@dataclass(frozen=True)
class Warps:
    """The positions of ``n`` cutouts, and the content beyond the image's edge.

    homographies: (n, 3, 3), maps from the cutout to the image.
    displacements: fields that bend the cutouts, in the cutout's frame.
    levels: (n,), int64 on the CPU; the level that each cutout samples.
    reflect: (n,), 1 or 0. If 1, the image is mirrored once beyond its edge, and the edge pixels of
        the mirror image are repeated beyond that. If 0, the area beyond the edge has the colour
        ``fill``.
    fill: (n, 3), colours in [0, 1].
    """

    homographies: Tensor
    displacements: tuple[Displacement, ...]
    levels: Tensor
    reflect: Tensor
    fill: Tensor

    def rows(self, start: int, stop: int) -> "Warps":
        """Return the warps of cutouts ``start`` to ``stop``."""
        bent = tuple(replace(d, offsets=d.offsets[start:stop]) for d in self.displacements)
        tensors = (self.homographies, self.levels, self.reflect, self.fill)
        homographies, levels, reflect, fill = (t[start:stop] for t in tensors)
        return Warps(homographies, bent, levels, reflect, fill)


@dataclass(frozen=True)
class Atlas:
    """Prefiltered levels side by side, each with a black border of one pixel.

    texture: (1, 3, H, W).
    maps: (levels, 3, 3), from each level's own frame [-1, 1]² to the texture's frame.
    pixel: (2,), the size of a pixel in the texture's frame.
    low, high: (levels, 2), the edges of each level in the texture's frame.
    """

    texture: Tensor
    maps: Tensor
    pixel: Tensor
    low: Tensor
    high: Tensor


def level_of(homographies: Tensor, texture_hw: tuple[int, int], size: int) -> Tensor:
    """Return the level nearest to each cutout's scale, (n,) int64."""
    height, width = texture_hw
    area = torch.linalg.det(jacobian(homographies)).abs() * (height * width / size**2)
    coarsest = 2 * max(min(texture_hw), 1).bit_length() - 2
    levels: Tensor = area.clamp_min(1.0).log2().round().long()
    return levels.clamp_max(coarsest)


def build_atlas(image: Tensor, levels: list[int]) -> Atlas:
    """Reduce ``image`` (1, 3, h, w) to each of ``levels``; pack the results from left to right."""
    tiles = [F.pad(reduce(image, level), (1, 1, 1, 1)) for level in levels]
    height = max(tile.shape[2] for tile in tiles)
    width = sum(tile.shape[3] for tile in tiles)
    texture = torch.cat([F.pad(tile, (0, 0, 0, height - tile.shape[2])) for tile in tiles], dim=3)
    maps, left = [], 0
    for tile in tiles:
        inner_h, inner_w = tile.shape[2] - 2, tile.shape[3] - 2
        maps.append(
            [
                [inner_w / width, 0.0, (2 * left + tile.shape[3]) / width - 1],
                [0.0, inner_h / height, tile.shape[2] / height - 1],
                [0.0, 0.0, 1.0],
            ]
        )
        left += tile.shape[3]
    placed = image.new_tensor(maps)
    pixel = image.new_tensor([2 / width, 2 / height])
    half = placed.diagonal(dim1=1, dim2=2)[:, :2]
    return Atlas(texture, placed, pixel, placed[:, :2, 2] - half, placed[:, :2, 2] + half)


def reduce(image: Tensor, level: int) -> Tensor:
    """Return ``image`` reduced by 2^(level/2), low-pass filtered; level 0 is the image itself."""
    if level == 0:
        return image
    height, width = (max(1, round(side / 2 ** (level / 2))) for side in image.shape[2:])
    return F.interpolate(image, (height, width), mode="bilinear", antialias=True)


def warped_cutouts(image: Tensor, warps: Warps, size: int, levels: list[int]) -> Tensor:
    """Return the cutouts (n, 3, size, size) of ``image`` (1, 3, h, w), differentiable in the image.

    levels: the levels to build, in ascending order, including every entry of ``warps.levels``. Pass
        the same list for every chunk of a plan; otherwise, the result depends on the chunk size.
    """
    atlas = build_atlas(image, levels)
    slots = torch.searchsorted(torch.tensor(levels), warps.levels).to(image.device)
    placed = atlas.maps[slots] @ warps.homographies.to(image)
    points = bend(grid(placed, size), placed, warps.displacements)
    low, high = atlas.low[slots, :, None, None], atlas.high[slots, :, None, None]
    pixel = atlas.pixel[:, None, None]
    reflect = warps.reflect.to(image)[:, None, None, None]
    inset = (reflect - 0.5) * pixel  # outermost samples fall on centres of edge or border pixels
    inside = mirror(points, low, high, reflect) if warps.reflect.any() else points
    inside = inside.clamp(low + inset, high - inset)
    cutouts = take(atlas.texture, inside.permute(0, 2, 3, 1))
    if not warps.fill.any():
        return cutouts
    ground = warps.fill.to(image)[:, :, None, None]
    return cutouts + (1 - coverage(points, low, high, pixel)) * ground


def take(texture: Tensor, points: Tensor) -> Tensor:
    """Return the samples (n, 3, s, s) of a texture (1 or n, 3, H, W) at ``points`` (n, s, s, 2).

    Cutouts from a single texture are stacked into a few tall images. Fewer images need less memory,
    because each allocates a gradient of the texture's size; more images keep more threads busy.
    """
    n, size = points.shape[:2]
    tall = math.gcd(n, _TALL) if len(texture) == 1 else n
    points = points.reshape(tall, -1, size, 2)
    taken = F.grid_sample(texture.expand(tall, -1, -1, -1), points, align_corners=False)
    # (tall, 3, n/tall * s, s) -> (n, 3, s, s)
    apart = taken.view(tall, taken.shape[1], n // tall, size, size).transpose(1, 2)
    return apart.reshape(n, -1, size, size)


def bend(points: Tensor, placed: Tensor, displacements: tuple[Displacement, ...]) -> Tensor:
    """Add displacements, given in the cutouts' frame, to ``points`` in the texture's frame."""
    for displacement in displacements:
        offsets = displacement.offsets.to(points)
        moved = jacobian(placed) @ offsets.flatten(2)
        points = points + displacement.field(moved.view_as(offsets), points.shape[-1])
    return points


def mirror(points: Tensor, low: Tensor, high: Tensor, reflect: Tensor) -> Tensor:
    """Fold points outside [low, high] back inside, once, where ``reflect`` is 1."""
    return torch.addcmul(points, reflect, points.clamp(low, high) - points, value=2)


def coverage(points: Tensor, low: Tensor, high: Tensor, pixel: Tensor) -> Tensor:
    """Return the fraction of each bilinear sample that is inside the image, (n, 1, size, size)."""
    depth = (torch.minimum(points - low, high - points) / pixel + 0.5).clamp(0, 1)
    return depth[:, :1] * depth[:, 1:]
