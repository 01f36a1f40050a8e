"""Starting codes for a run, and the range of z."""

from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Generator, Tensor

from vqclip.config import AUTO, DRAWN, GenerateConfig
from vqclip.errors import UsageError, shape_of
from vqclip.files.environment import user_path
from vqclip.generation.saved_codes import Codes, check_fits, read_codes
from vqclip.media.images import fit_image, load_image, to_tensor
from vqclip.models.vqgan import VQModel
from vqclip.registry import Registry, unknown


def grid_size(size: tuple[int, int], factor: int) -> tuple[int, int]:
    """Return the (rows, columns) of the code grid closest to an image size, both at least 1.

    size: (width, height) of the image in pixels.

    >>> grid_size((500, 250), 16)
    (16, 31)
    """
    width, height = size
    return max(1, round(height / factor)), max(1, round(width / factor))


def grid_of(config: GenerateConfig, vqgan: VQModel) -> tuple[int, int]:
    """Return the (rows, columns) of a run's codes."""
    if config.size is None and config.init.lower().endswith(".npz"):
        _, rows, columns = read_codes(Path(config.init)).indices.shape
        return rows, columns
    return grid_size(config.size or (vqgan.resolution, vqgan.resolution), vqgan.downsampling)


def picture_size(config: GenerateConfig, vqgan: VQModel) -> tuple[int, int]:
    """Return the (width, height) in pixels of a run's image, rounded to the grid of codes."""
    rows, columns = grid_of(config, vqgan)
    return columns * vqgan.downsampling, rows * vqgan.downsampling


def codebook_range(codebook: Tensor) -> tuple[Tensor, Tensor]:
    """Return the minimum and maximum of each codebook channel, both (1, embed_dim, 1, 1)."""
    low, high = codebook.amin(0), codebook.amax(0)
    return low[None, :, None, None], high[None, :, None, None]


def noise_image(rows: int, columns: int, generator: Generator) -> Tensor:
    """Return an image (1, 3, rows, columns) in [0, 1] with independent, uniformly random pixels."""
    return torch.rand(1, 3, rows, columns, generator=generator)


def gradient_image(rows: int, columns: int, generator: Generator) -> Tensor:
    """Return an image (1, 3, rows, columns) in [0, 1] that blends four random corner colours."""
    corners = noise_image(2, 2, generator)
    return F.interpolate(corners, (rows, columns), mode="bilinear", align_corners=True)


def perlin_image(rows: int, columns: int, generator: Generator, octaves: int = 5) -> Tensor:
    """Return an image (1, 3, rows, columns) in [0, 1] of fractal gradient noise (Perlin 1985)."""
    shape = (rows, columns)
    layers = [0.6**k * _perlin_octave(shape, 2 ** (k + 1), generator) for k in range(octaves)]
    noise = torch.stack(layers).sum(0)
    return (noise / noise.abs().amax((-2, -1), keepdim=True).clamp(min=1e-6) / 2 + 0.5)[None]


def _perlin_octave(shape: tuple[int, int], cells: int, generator: Generator) -> Tensor:
    """Return gradient noise (3, rows, columns) with ``cells`` cells along each side."""
    angle = torch.rand(3, cells + 1, cells + 1, generator=generator) * 2 * torch.pi
    y, x = (torch.arange(side) / side * cells for side in shape)
    row, column = y.long()[:, None], x.long()[None]  # each pixel's cell
    v, u = (y - y.floor())[:, None], (x - x.floor())[None]  # its position in the cell, 0 to 1

    def corner(down: int, right: int) -> Tensor:
        a = angle[:, row + down, column + right]
        return a.sin() * (v - down) + a.cos() * (u - right)

    fade_v, fade_u = (t**3 * (t * (t * 6 - 15) + 10) for t in (v, u))
    upper = torch.lerp(corner(0, 0), corner(0, 1), fade_u.expand(shape))
    lower = torch.lerp(corner(1, 0), corner(1, 1), fade_u.expand(shape))
    return torch.lerp(upper, lower, fade_v.expand(shape))


PICTURES = Registry(
    "init", {"noise": noise_image, "gradient": gradient_image, "perlin": perlin_image}
)


def initial_latent(
    vqgan: VQModel, init: str, grid: tuple[int, int], how: str, generator: Generator
) -> Tensor:
    """Return the quantized z that a run starts from, (1, embed_dim, rows, columns).

    init: ``random`` for random codes; ``noise``, ``gradient`` or ``perlin`` for a generated image;
        the path or URL of an image, which is fitted with the method ``how``; or the path of saved
        codes (``.npz``). Images are encoded.

    Raises:
        UsageError: ``init`` is unknown, a file cannot be read, or saved codes do not fit.
    """
    rows, columns = grid
    device, factor = vqgan.codebook.device, vqgan.downsampling
    if init == "random":
        indices = torch.randint(len(vqgan.codebook), (1, rows, columns), generator=generator)
        return vqgan.codes(indices.to(device))
    if init.lower().endswith(".npz"):
        return vqgan.codes(_matching(read_codes(Path(init)), vqgan, grid).to(device))
    if init in PICTURES:
        image = PICTURES[init](rows * factor, columns * factor, generator)
    else:
        image = to_tensor(fit_image(_open(init), (columns * factor, rows * factor), how))
    with torch.no_grad():
        return vqgan.tokenize(image.to(device) * 2 - 1)[0]


def fitting(start: Tensor, vqgan: VQModel, grid: tuple[int, int]) -> Tensor:
    """Return a copy of a user's z, (1, embed_dim, rows, columns), with the codebook's dtype.

    Raises:
        UsageError: the shape does not fit the VQGAN or the grid.
    """
    shape = (1, vqgan.codebook.shape[1], *grid)
    if start.shape != shape:
        raise UsageError(f"start has shape {shape_of(start)}, but the image needs {shape}")
    return start.to(vqgan.codebook, copy=True)


def _open(init: str) -> Image.Image:
    if not init.startswith(("http://", "https://")) and not user_path(init).exists():
        raise unknown_init(init)
    return load_image(init)


def unknown_init(init: str) -> UsageError:
    """Return the error for an ``init`` that is neither a name nor an existing file."""
    if Path(init).suffix or Path(init).name != init:
        return UsageError(f"no such file: {init}; init takes an image or saved codes (.npz)")
    others = (AUTO, "random", *DRAWN, "the path or URL of an image", "codes.npz")
    return unknown("init", init, [*PICTURES, *others])


def _matching(saved: Codes, vqgan: VQModel, grid: tuple[int, int]) -> Tensor:
    indices = check_fits(saved, vqgan)
    if tuple(indices.shape[1:]) != grid:
        found, wanted = ("x".join(map(str, g)) for g in (indices.shape[1:], grid))
        raise UsageError(
            f"the saved codes are {found} (rows x columns), but the image needs {wanted}: drop "
            "`size` to use the size of the codes"
        )
    return indices


class Average:
    """An exponential moving average with bias correction; a decay of 0 disables it."""

    def __init__(self, start: Tensor, decay: float) -> None:
        self.decay, self.mass = decay, 0.0
        self.sum = torch.zeros_like(start)

    def update(self, z: Tensor) -> None:
        """Add a value to the average."""
        if self.decay:
            self.sum.mul_(self.decay).add_(z, alpha=1 - self.decay)
            self.mass = self.mass * self.decay + 1 - self.decay

    def value(self, z: Tensor) -> Tensor:
        """Return the average, or ``z`` itself if nothing has been averaged yet."""
        return self.sum / self.mass if self.mass else z
