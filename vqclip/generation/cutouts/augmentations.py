"""Augmentations by name.

Each augmentation draws its random numbers for all cutouts at once.

A geometric augmentation returns homographies (n, 3, 3) or a displacement field; all of these are
merged into a single sampling pass. The other augmentations return a photometric step. Every number
is drawn separately for each cutout, and ``p`` is the probability that a cutout is changed at all.
The two letters in square brackets are the augmentation's name in nerdyrodent/VQGAN-CLIP; the preset
"nerdyrodent" uses the values of that program.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from vqclip.generation.cutouts import geometry
from vqclip.generation.cutouts.drawing import Draw
from vqclip.generation.cutouts.geometry import Displacement, Elastic, ThinPlate
from vqclip.generation.cutouts.photometric import Colour, Erase, Noise, Photometric, Sharpen
from vqclip.registry import Registry

Contribution = Tensor | Displacement | Photometric


def sometimes(draw: Draw, p: float, values: Tensor, otherwise: Tensor | float) -> Tensor:
    """With probability 1 - ``p``, replace a row of ``values`` (n, ...) with ``otherwise``."""
    chosen = draw.chance(p).view(-1, *[1] * (values.dim() - 1))
    return torch.where(chosen, values, torch.as_tensor(otherwise, dtype=values.dtype))


def flip(draw: Draw, *, p: float = 0.5) -> Tensor:
    """Mirror horizontally [Hf]."""
    side = sometimes(draw, p, -torch.ones(draw.n), 1.0)
    return geometry.scaling(side, torch.ones(draw.n))


def affine(
    draw: Draw,
    *,
    degrees: float = 15.0,
    translate: float = 0.1,
    shear: float = 5.0,
    scale: float = 0.0,
    p: float = 0.7,
) -> Tensor:
    """Rotate, shift, shear and zoom at random [Af].

    The rotation is up to ±``degrees``, the shift up to ±``translate`` of the side, the shear up to
    ±``shear`` degrees, and the zoom, in or out, up to a factor of 1 + ``scale``.
    """
    zoom = draw.log_uniform(1 / (1 + scale), 1 + scale)
    maps = (
        geometry.translation(draw.symmetric(2 * translate, 2))
        @ geometry.rotation_matrix(draw.symmetric(degrees))
        @ geometry.shearing(draw.symmetric(shear))
        @ geometry.scaling(zoom, zoom)
    )
    return sometimes(draw, p, maps, torch.eye(3))


def rotation(draw: Draw, *, degrees: float = 15.0, p: float = 0.7) -> Tensor:
    """Rotate about the centre by up to ±degrees [Ro]."""
    return sometimes(draw, p, geometry.rotation_matrix(draw.symmetric(degrees)), torch.eye(3))


def perspective(draw: Draw, *, distortion: float = 0.3, p: float = 0.7) -> Tensor:
    """Tilt by moving each corner of the cutout inwards by up to distortion/2 of the side [Pe]."""
    corners = torch.tensor(geometry.CONTROL_POINTS[:4]) * (1 - draw.uniform(0, distortion, 4, 2))
    # The content moves to these corners, so sampling needs the inverse map.
    return sometimes(draw, p, torch.linalg.inv(geometry.square_to_quad(corners)), torch.eye(3))


def crop(draw: Draw, *, min_side: float = 0.8, p: float = 0.5) -> Tensor:
    """Zoom in on a random square whose side is ``min_side`` to 1 times the cutout's side [Cr].

    nerdyrodent's "Cr" crops the cutout to its own size, so it changes nothing.
    """
    side, place = draw.uniform(min_side, 1), draw.uniform(0, 1, 2)
    left, top = place[:, 0] * (1 - side), place[:, 1] * (1 - side)
    return sometimes(draw, p, geometry.boxes(left, top, side, side), torch.eye(3))


def resized_crop(
    draw: Draw,
    *,
    min_area: float = 0.1,
    max_area: float = 1.0,
    min_ratio: float = 0.75,
    max_ratio: float = 4 / 3,
    p: float = 0.5,
) -> Tensor:
    """Stretch a random rectangle of limited area and aspect ratio to fill the cutout [Re]."""
    area, ratio = draw.uniform(min_area, max_area), draw.log_uniform(min_ratio, max_ratio)
    width, height = (area * ratio).sqrt().clamp_max(1), (area / ratio).sqrt().clamp_max(1)
    place = draw.uniform(0, 1, 2)
    left, top = place[:, 0] * (1 - width), place[:, 1] * (1 - height)
    return sometimes(draw, p, geometry.boxes(left, top, width, height), torch.eye(3))


def elastic(draw: Draw, *, amplitude: float = 0.02, p: float = 0.7) -> Elastic:
    """Bend smoothly by shifting the nodes of a 6×6 grid by about ``amplitude`` of the side [Et].

    nerdyrodent's noise, blurred with σ = 32 pixels, corresponds to an amplitude of about 0.003.
    """
    return Elastic(sometimes(draw, p, draw.normal(0, 2 * amplitude, 2, 6, 6), 0.0))


def thin_plate(draw: Draw, *, scale: float = 0.2, p: float = 0.7) -> ThinPlate:
    """Bend by a thin-plate spline: move corners and centre by up to ±scale/2 of the side [Ts]."""
    return ThinPlate(sometimes(draw, p, draw.symmetric(scale, 2, 5), 0.0))


def jitter(
    draw: Draw,
    *,
    brightness: float = 0.1,
    contrast: float = 0.1,
    saturation: float = 0.1,
    hue: float = 0.1,
    p: float = 0.7,
) -> Colour:
    """Scale brightness, contrast and saturation by random factors, and shift the hue [Ji].

    Each factor lies within 1 ± the parameter of that name; the hue is shifted by up to ±``hue``
    turns.
    """
    chosen = draw.chance(p)
    return Colour(
        brightness=1 + draw.symmetric(brightness) * chosen,
        contrast=1 + draw.symmetric(contrast) * chosen,
        saturation=1 + draw.symmetric(saturation) * chosen,
        hue=draw.symmetric(hue) * chosen,
    )


def grayscale(draw: Draw, *, p: float = 0.2) -> Colour:
    """Convert to greyscale."""
    ones = torch.ones(draw.n)
    return Colour(ones, ones, sometimes(draw, p, torch.zeros(draw.n), 1.0), torch.zeros(draw.n))


def sharpness(draw: Draw, *, low: float = 0.5, high: float = 1.5, p: float = 0.5) -> Sharpen:
    """Sharpen by a random factor from ``low`` to ``high``; a factor below 1 blurs [Sh].

    nerdyrodent's strength of 0.3 corresponds to factors of 0 to 0.3, which only blur.
    """
    return Sharpen(sometimes(draw, p, draw.uniform(low, high), 1.0))


def erasing(
    draw: Draw,
    *,
    min_area: float = 0.1,
    max_area: float = 0.4,
    min_ratio: float = 0.3,
    max_ratio: float = 1 / 0.3,
    p: float = 0.7,
) -> Erase:
    """Black out a random rectangle of limited area and aspect ratio [Er].

    nerdyrodent erases the same rectangle in all cutouts of a step; here, each cutout has its own.
    """
    area, ratio = draw.uniform(min_area, max_area), draw.log_uniform(min_ratio, max_ratio)
    sides = torch.stack([(area * ratio).sqrt(), (area / ratio).sqrt()], dim=1).clamp_max(1)
    sides = sometimes(draw, p, sides, 0.0)
    return Erase(draw.uniform(0, 1, 2) * (1 - sides), sides)


def noise(draw: Draw, *, std: float = 0.1, p: float = 0.5) -> Noise:
    """Add Gaussian noise of standard deviation ``std`` to every pixel and channel [Gn]."""
    return Noise(sometimes(draw, p, torch.full((draw.n,), float(std)), 0.0), draw.seeds())


AUGMENTATIONS: Registry[Callable[..., Contribution]] = Registry(
    "augmentation",
    {
        "flip": flip,
        "affine": affine,
        "rotation": rotation,
        "perspective": perspective,
        "crop": crop,
        "resized-crop": resized_crop,
        "elastic": elastic,
        "thin-plate": thin_plate,
        "jitter": jitter,
        "grayscale": grayscale,
        "sharpness": sharpness,
        "erasing": erasing,
        "noise": noise,
    },
)
