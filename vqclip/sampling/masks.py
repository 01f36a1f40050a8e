"""Masks and blending of the kept and generated parts of an image."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import Tensor

from vqclip.config import MAX_SIDE
from vqclip.errors import UsageError
from vqclip.files.environment import user_path
from vqclip.media.colours import to_srgb
from vqclip.media.images import fit_image, flatten, open_image, to_tensor

RGBPixels = np.ndarray[Any, np.dtype[np.uint8]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]

SIDES = ("top", "bottom", "left", "right")
_WHITE = 128  # lowest grey value in a mask that keeps a pixel


@dataclass(frozen=True)
class Canvas:
    """An image with room for the parts to be generated.

    pixels: (h, w, 4) uint8, RGBA.
    kept: (h, w) bool, true for pixels that stay unchanged.
    """

    pixels: RGBPixels
    kept: Mask

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.kept.shape[1], self.kept.shape[0]

    def image(self) -> Tensor:
        """Return the image on a white background, (1, 3, h, w) in [0, 1]."""
        return to_tensor(flatten(Image.fromarray(self.pixels)))

    def mask(self) -> Tensor:
        """Return the mask of kept pixels, (1, 1, h, w) bool."""
        return torch.from_numpy(self.kept)[None, None]


def open_canvas(
    source: str | Image.Image,
    keep: str | None = None,
    extend: tuple[int, int, int, int] = (0, 0, 0, 0),
    size: tuple[int, int] | None = None,
) -> Canvas:
    """Read an image and its mask, resize both to ``size``, and extend them by ``extend`` pixels.

    Coordinates in ``keep`` are pixels of the original image, before resizing. See
    :class:`vqclip.config.CompleteConfig` for the forms of ``keep`` and ``extend``.

    Raises:
        UsageError: an image or mask is unreadable, a box lies outside the image, or there is
            nothing to generate.
    """
    photo = open_image(source) if isinstance(source, str) else source
    photo = to_srgb(photo).convert("RGBA")
    kept = np.asarray(photo)[..., 3] == 255 if keep is None else keep_mask(keep, photo.size)
    if size is not None:
        photo = fit_image(photo, size)
        share = ImageOps.fit(Image.fromarray(np.uint8(255) * kept), size, Image.Resampling.BOX)
        kept = np.asarray(share) == 255
    canvas = _extended(Canvas(np.array(photo), kept), extend)
    if canvas.kept.all():
        raise _nothing_to_complete(keep, canvas.size)
    return canvas


def _nothing_to_complete(keep: str | None, size: tuple[int, int]) -> UsageError:
    if keep is None:
        return UsageError("there is nothing to complete: use `keep` or `extend`")
    return UsageError(
        f"there is nothing to complete, because `keep={keep}` keeps every pixel of the "
        f"{size[0]}x{size[1]} image: keep less, or use `extend`"
    )


def keep_mask(keep: str, size: tuple[int, int]) -> Mask:
    """Return the mask (h, w) described by ``keep`` for an image of ``size`` (width, height).

    Raises:
        UsageError: ``keep`` has an unknown form or does not fit the size.
    """
    width, height = size
    mask: Mask = np.zeros((height, width), bool)
    if keep in SIDES:
        rows, columns = (height + 1) // 2, (width + 1) // 2
        parts = (np.s_[:rows], np.s_[-rows:], np.s_[:, :columns], np.s_[:, -columns:])
        mask[parts[SIDES.index(keep)]] = True
    elif keep.startswith("box:"):
        x, y, w, h = _box(keep, size)
        mask[y : y + h, x : x + w] = True
    elif user_path(keep).exists():
        mask = _read_mask(keep, size)
    else:
        raise UsageError(
            f"cannot keep {keep!r}: write {', '.join(SIDES)}, box:x,y,w,h, or the path of a mask"
        )
    return mask


def _box(keep: str, size: tuple[int, int]) -> list[int]:
    words = keep.removeprefix("box:").split(",")
    if len(words) != 4 or not all(word.strip().isdecimal() for word in words):
        raise UsageError(f"cannot read {keep!r}: write box:x,y,w,h in pixels, as in box:0,0,64,32")
    x, y, w, h = box = [int(word) for word in words]
    if not (w and h and x + w <= size[0] and y + h <= size[1]):
        raise UsageError(f"{keep} is not inside the image of {size[0]}x{size[1]} pixels")
    return box


def _read_mask(path: str, size: tuple[int, int]) -> Mask:
    mask = open_image(path)
    if mask.size != size:
        its, wanted = ("x".join(map(str, s)) for s in (mask.size, size))
        raise UsageError(
            f"the mask {path} is {its} pixels, but the image is {wanted}: make them the same size"
        )
    grey: Mask = np.asarray(flatten(mask).convert("L")) >= _WHITE
    return grey


def _extended(canvas: Canvas, extend: tuple[int, int, int, int]) -> Canvas:
    left, top, right, bottom = extend
    rows, columns = (top, bottom), (left, right)
    pixels = np.pad(canvas.pixels, (rows, columns, (0, 0)))
    larger = Canvas(pixels, np.pad(canvas.kept, (rows, columns)))
    if max(larger.size) > MAX_SIDE:
        raise UsageError(
            f"the image would be {larger.size}; the maximum is {MAX_SIDE} pixels per side"
        )
    return larger


def known_cells(kept: Mask, factor: int) -> Tensor:
    """Return a mask, (rows, columns) bool, of the codes that cover only kept pixels.

    Parts of codes beyond the image's right or bottom edge are ignored.
    """
    height, width = kept.shape
    whole = np.pad(kept, ((0, -height % factor), (0, -width % factor)), constant_values=True)
    rows, columns = (side // factor for side in whole.shape)
    return torch.from_numpy(whole.reshape(rows, factor, columns, factor).all((1, 3)))


def padded_to_codes(image: Tensor, factor: int) -> Tensor:
    """Repeat the last row and column of an image (1, 3, h, w) to cover a whole number of codes."""
    height, width = image.shape[-2:]
    return F.pad(image, (0, -width % factor, 0, -height % factor), mode="replicate")


def continued(image: Tensor, kept: Tensor) -> Tensor:
    """Fill the pixels outside ``kept`` with a smooth continuation of the kept ones (pull-push).

    image: (1, 3, h, w).
    kept: (1, 1, h, w) bool.
    """
    height, width = image.shape[-2:]
    if kept.all() or height * width == 1:
        return image * kept
    half = ((height + 1) // 2, (width + 1) // 2)
    share = F.adaptive_avg_pool2d(kept.to(image.dtype), half)
    coarse = F.adaptive_avg_pool2d(image * kept, half) / share.clamp(min=1e-6)
    filled = F.interpolate(continued(coarse, share > 0), (height, width), mode="bilinear")
    return torch.where(kept, image, filled)


def blended(imagined: Tensor, photo: Tensor, kept: Tensor, radius: int) -> Tensor:
    """Adjust the colours of the generated part to match the kept pixels at the seam.

    The difference between the two images is averaged over the kept pixels, with more weight for
    nearby pixels. It is added to the generated part and fades out over about 2 · ``radius`` pixels.
    Both images are (1, 3, h, w); ``kept`` is (1, 1, h, w).
    """
    weight = kept.to(imagined.dtype)
    total, mass, scale = torch.zeros_like(imagined), torch.zeros_like(weight), 1
    while scale <= radius:  # box filters sum to a kernel with a cubic falloff
        total += _blurred(weight * (photo - imagined), scale) / scale**3
        mass += _blurred(weight, scale) / scale**3
        scale *= 2
    fading = (2 * _blurred(weight, radius)).clamp(max=1)  # at a straight seam, half the box is kept
    return imagined + fading * total / mass.clamp(min=1e-9)


def _blurred(image: Tensor, radius: int) -> Tensor:
    for _ in range(2):  # two box filters make a triangle filter
        image = F.avg_pool2d(image, 2 * radius + 1, 1, radius, count_include_pad=False)
    return image


def pasted(picture: Image.Image, canvas: Canvas) -> Image.Image:
    """Paste the kept pixels into ``picture`` bit for bit; return RGB if all pixels are opaque."""
    pixels = canvas.pixels.copy()
    pixels[~canvas.kept] = np.asarray(picture.convert("RGBA"))[~canvas.kept]
    result = Image.fromarray(pixels)
    return result.convert("RGB") if (pixels[..., 3] == 255).all() else result
