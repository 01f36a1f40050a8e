"""What a VQGAN alone does: a picture to codes and back, and how much is lost on the way."""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from vqclip.generation.latents import check_fits, grid_size, load_codes
from vqclip.media.images import fit, to_pil, to_tensor
from vqclip.models.vqgan import VQModel


@dataclass(frozen=True)
class Reconstruction:
    """A picture that went through its codes.

    indices: (1, h, w), int64.
    psnr: in dB, infinite where nothing is lost.
    l1: mean absolute error of a channel, of a range of 1.
    """

    picture: Image.Image
    indices: Tensor
    psnr: float
    l1: float


def reconstruct(
    vqgan: VQModel, photo: Image.Image, size: tuple[int, int] | None = None, how: str = "cover"
) -> Reconstruction:
    """Encode, quantize and decode an RGB picture.

    It is brought to ``size`` (width, height), by default its own, rounded to whole codes; ``how``
    is that of :func:`vqclip.media.images.fit`. The errors are those against the picture of that
    size.
    """
    rows, columns = grid_size(size or photo.size, vqgan.downsampling)
    wanted = fit(photo, (columns * vqgan.downsampling, rows * vqgan.downsampling), how)
    with torch.no_grad():
        z_q, indices = vqgan.quantize(vqgan.encode(to_tensor(wanted).to(vqgan.codebook.device)))
        picture = to_pil(vqgan.decode(z_q))
    error = (to_tensor(wanted) - to_tensor(picture)) / 2  # of a range of 1
    return Reconstruction(picture, indices, psnr(error), float(error.abs().mean()))


def psnr(error: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of an error, of a range of 1: −10 log₁₀ mean(error²)."""
    mean = float(error.square().mean())
    return -10 * math.log10(mean) if mean else math.inf


@torch.no_grad()
def decode_codes(vqgan: VQModel, path: Path) -> Image.Image:
    """Return the picture of the codes saved in an ``.npz`` file.

    Raises:
        UsageError: no codes, or not of this VQGAN.
    """
    indices = check_fits(load_codes(path), vqgan)
    return to_pil(vqgan.decode(vqgan.codes(indices.to(vqgan.codebook.device))))
