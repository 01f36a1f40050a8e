"""Reconstructions of images by a VQGAN, and their errors."""

import colorsys
import math
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vqclip.generation.latents import grid_size
from vqclip.generation.saved_codes import Codes, check_fits
from vqclip.media.images import fit_image, flatten, in_shape, to_pil, to_tensor
from vqclip.models.vqgan import VQModel, with_channels
from vqclip.sampling.conditions import depth_of, edges_of, labels_of


@dataclass(frozen=True)
class Reconstruction:
    """A reconstructed image.

    indices: the codes, (1, h, w), int64.
    psnr: peak signal-to-noise ratio in dB, infinite for an exact reconstruction.
    l1: mean absolute error per channel, for values in [0, 1]; for label maps, the fraction of
        pixels whose label changed.
    """

    picture: Image.Image
    indices: Tensor
    psnr: float
    l1: float


def reconstruct(
    vqgan: VQModel, photo: Image.Image, size: tuple[int, int] | None = None, how: str = "cover"
) -> Reconstruction:
    """Encode, quantize and decode an image of the kind that the VQGAN was trained on.

    The image is resized to ``size`` (width, height), with both sides rounded to whole numbers of
    codes; errors are measured at the resulting size. The default ``size`` is that of the image.
    For ``how``, see :func:`vqclip.media.images.fit_image`.

    Raises:
        UsageError: the image is not of the VQGAN's kind (RGB, depth, edges or labels).
    """
    rows, columns = grid_size(size or photo.size, vqgan.downsampling)
    pixels = (columns * vqgan.downsampling, rows * vqgan.downsampling)
    x = read_picture(vqgan, photo, pixels, how)
    with torch.no_grad():
        z_q, indices = vqgan.tokenize(x.to(vqgan.codebook.device))
        picture = to_picture(vqgan, vqgan.decode(z_q))
    if vqgan.picture_kind == "labels":
        error = (x.argmax(1) != torch.from_numpy(np.array(picture))).float()
    else:
        error = with_channels(x, 3) / 2 + 0.5 - to_tensor(picture)
    return Reconstruction(picture, indices, psnr(error), float(error.abs().mean()))


def read_picture(
    vqgan: VQModel, photo: Image.Image, size: tuple[int, int], how: str = "cover"
) -> Tensor:
    """Resize an image to ``size`` (width, height) and return the VQGAN's input (1, c, h, w).

    Raises:
        UsageError: the image is not of the VQGAN's kind.
    """
    kind, channels = vqgan.picture_kind, vqgan.ddconfig.in_channels
    if kind == "depth":
        return with_channels(depth_of(in_shape(photo, size, how), size), channels)
    if kind == "labels":
        return labels_of(in_shape(photo, size, how), channels, size)
    if kind == "edges":
        edges = edges_of(flatten(in_shape(photo, size, how)), size)
        return with_channels(edges, channels)
    return with_channels(to_tensor(fit_image(flatten(photo), size, how)) * 2 - 1, channels)


def to_picture(vqgan: VQModel, image: Tensor) -> Image.Image:
    """Return decoded values (1, c, h, w) as an image: a label map with a palette, or else RGB."""
    if vqgan.picture_kind != "labels":
        return to_pil(image / 2 + 0.5)
    picture = Image.fromarray(image[0].argmax(0).to(torch.uint8).cpu().numpy())
    picture.putpalette(_label_colours())
    return picture


def _label_colours() -> list[int]:
    """Return a palette of 256 colours: black, then hues spaced by the golden ratio."""
    hues = [colorsys.hsv_to_rgb(k * 0.618034 % 1, 0.75, 0.9) for k in range(1, 256)]
    return [0, 0, 0, *(round(255 * value) for colour in hues for value in colour)]


def psnr(error: Tensor) -> float:
    """Return the peak signal-to-noise ratio in dB for a range of 1: −10 log₁₀ mean(error²)."""
    mean = float(error.square().mean())
    return -10 * math.log10(mean) if mean else math.inf


@torch.no_grad()
def decode_codes(vqgan: VQModel, codes: Codes) -> Image.Image:
    """Return the image represented by saved codes.

    Raises:
        UsageError: the codes belong to another VQGAN.
    """
    indices = check_fits(codes, vqgan)
    return to_picture(vqgan, vqgan.decode(vqgan.codes(indices.to(vqgan.codebook.device))))
