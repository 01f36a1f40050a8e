"""Homographies and displacement fields that place the cutouts in the image.

All maps go from the cutout to the image, as sampling requires. Both the cutout and the image have
coordinates in [-1, 1]²: x points right, y points down, and ±1 are the outer edges of the outermost
pixels, not their centres. A cutout augmented first by a, then by b, is sampled at ``crop @ a @ b``.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

# Lower bound for a homography's denominator: a point behind the horizon lands far outside the
# image, in the padding, instead of flipping through infinity.
HORIZON = 1e-3


def identity(n: int) -> Tensor:
    """Return ``n`` identity maps, (n, 3, 3)."""
    return torch.eye(3).repeat(n, 1, 1)


def matrices(*entries: Tensor | float) -> Tensor:
    """Stack nine entries, each (n,) or a number, row by row into (n, 3, 3)."""
    n = max(len(e) for e in entries if isinstance(e, Tensor) and e.dim())
    rows = [torch.as_tensor(entry, dtype=torch.float32).expand(n) for entry in entries]
    return torch.stack(rows, dim=1).view(n, 3, 3)


def scaling(x: Tensor, y: Tensor) -> Tensor:
    """Return (n, 3, 3) scalings about the centre."""
    return matrices(x, 0.0, 0.0, 0.0, y, 0.0, 0.0, 0.0, 1.0)


def translation(shift: Tensor) -> Tensor:
    """Return (n, 3, 3) translations by ``shift`` (n, 2)."""
    return matrices(1.0, 0.0, shift[:, 0], 0.0, 1.0, shift[:, 1], 0.0, 0.0, 1.0)


def rotation_matrix(degrees: Tensor) -> Tensor:
    """Return (n, 3, 3) rotations about the centre; positive angles are anticlockwise."""
    radians = degrees * (math.pi / 180)
    cos, sin = radians.cos(), radians.sin()
    return matrices(cos, -sin, 0.0, sin, cos, 0.0, 0.0, 0.0, 1.0)


def shearing(degrees: Tensor) -> Tensor:
    """Return (n, 3, 3) horizontal shears by ``degrees`` (n,)."""
    tangent = (degrees * (math.pi / 180)).tan()
    return matrices(1.0, tangent, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


def boxes(left: Tensor, top: Tensor, width: Tensor, height: Tensor) -> Tensor:
    """Return (n, 3, 3) maps onto boxes given in fractions of the frame, from 0 to 1."""
    return matrices(
        *(width, 0.0, 2 * left + width - 1),
        *(0.0, height, 2 * top + height - 1),
        *(0.0, 0.0, 1.0),
    )


def square_to_quad(corners: Tensor) -> Tensor:
    """Return (n, 3, 3) homographies that map the square's corners to ``corners`` (n, 4, 2).

    The order of the corners is top left, top right, bottom right, bottom left. The closed form is
    from Heckbert, "Fundamentals of Texture Mapping and Image Warping" (1989), section 2.2.3.
    """
    p0, p1, p2, p3 = corners.unbind(1)
    u, v, s = p1 - p2, p3 - p2, p0 - p1 + p2 - p3
    determinant = cross(u, v)
    g, h = cross(s, v) / determinant, cross(u, s) / determinant
    column_x, column_y = p1 - p0 + g[:, None] * p1, p3 - p0 + h[:, None] * p3
    unit = matrices(
        *(column_x[:, 0], column_y[:, 0], p0[:, 0]),
        *(column_x[:, 1], column_y[:, 1], p0[:, 1]),
        *(g, h, 1.0),
    )
    return unit @ UNIT_SQUARE


def cross(a: Tensor, b: Tensor) -> Tensor:
    """Return the cross products (n,) of two batches of 2D vectors (n, 2)."""
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]


def jacobian(homographies: Tensor) -> Tensor:
    """Return the derivative (n, 2, 2) of each homography at the cutout's centre."""
    w = homographies[:, 2:, 2:].clamp_min(HORIZON)
    return (homographies[:, :2, :2] - homographies[:, :2, 2:] @ homographies[:, 2:, :2] / w) / w


def grid(homographies: Tensor, size: int) -> Tensor:
    """Return the image coordinates of the cutouts' pixel centres, (n, 2, size, size)."""
    centres = torch.arange(1, 2 * size, 2, device=homographies.device, dtype=homographies.dtype)
    centres = centres / size - 1
    columns = homographies[:, :, 0, None, None] * centres
    rows = homographies[:, :, 1, None, None] * centres[:, None] + homographies[:, :, 2, None, None]
    xyw = rows + columns  # (n, 3, size, size)
    return xyw[:, :2] / xyw[:, 2:].clamp_min(HORIZON)


@dataclass(frozen=True)
class Elastic:
    """A smooth displacement field, interpolated bicubically from a grid of offsets (n, 2, k, k)."""

    offsets: Tensor

    def field(self, offsets: Tensor, size: int) -> Tensor:
        """Return the displacements (n, 2, size, size)."""
        return F.interpolate(offsets, size=(size, size), mode="bicubic", align_corners=True)


@dataclass(frozen=True)
class ThinPlate:
    """A thin-plate spline that moves the four corners and the centre by offsets (n, 2, 5)."""

    offsets: Tensor

    def field(self, offsets: Tensor, size: int) -> Tensor:
        """Return the displacements (n, 2, size, size) with the least bending energy."""
        # Term by term: a matrix product would round differently for each number of cutouts.
        basis = thin_plate_basis(size).to(offsets)
        terms = (offsets[:, :, k, None] * basis[k] for k in range(len(CONTROL_POINTS)))
        return sum(terms, offsets.new_zeros(())).view(*offsets.shape[:2], size, size)


Displacement = Elastic | ThinPlate

# The map from the square [-1, 1]² to [0, 1]². The default dtype may differ during the import.
UNIT_SQUARE = torch.tensor([[0.5, 0.0, 0.5], [0.0, 0.5, 0.5], [0.0, 0.0, 1.0]], dtype=torch.float32)

CONTROL_POINTS = ((-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0), (0.0, 0.0))


@lru_cache(maxsize=8)
def thin_plate_basis(size: int) -> Tensor:
    """Return how strongly each pixel follows each control point, (5, size²).

    The spline is linear in its offsets, and its control points are fixed. Therefore, the system in
    Bookstein, "Principal Warps" (1989), eq. 5–7, is solved only once per size.
    """
    points = torch.tensor(CONTROL_POINTS, dtype=torch.float64)
    ones = torch.ones(len(points), 1, dtype=torch.float64)
    linear = torch.cat([ones, points], dim=1)
    system = torch.zeros(8, 8, dtype=torch.float64)
    system[:5, :5], system[:5, 5:], system[5:, :5] = radial(points, points), linear, linear.T
    centres = torch.arange(1, 2 * size, 2, dtype=torch.float64) / size - 1
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    pixels = torch.stack([x, y], dim=-1).view(-1, 2)
    terms = torch.cat([radial(pixels, points), torch.ones(len(pixels), 1), pixels], dim=1)
    basis: Tensor = torch.linalg.solve(system, terms.T)[:5]
    return basis.float().contiguous()


def radial(a: Tensor, b: Tensor) -> Tensor:
    """Return U(r) = r² log r² for all pairs of points in ``a`` and ``b``."""
    squared = torch.cdist(a, b).square()
    bending: Tensor = torch.xlogy(squared, squared)
    return bending
