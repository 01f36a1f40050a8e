"""Conversion from any mode and colour profile to 8-bit sRGB."""

from functools import cache
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from vqclip.errors import UsageError

_CODES, _RANGES = 255, (255, 65535)


def to_srgb(image: Image.Image) -> Image.Image:
    """Return ``image`` with 8-bit channels, converted to sRGB if it has a colour profile.

    LAB images are always converted. Broken profiles and profiles for another mode are ignored.

    Raises:
        UsageError: floating-point values are outside [0, 1], or integers exceed 16 bits.
    """
    profile = image.info.get("icc_profile")
    image = _eight_bits(image)
    if image.mode == "LAB":
        return _converted(image, ImageCms.createProfile("LAB"), "RGB")
    if not profile or _is_srgb(profile):
        return image
    alpha = image.getchannel("A") if "A" in image.getbands() else None
    plain = image.convert("L" if image.mode == "LA" else "RGB") if alpha else image
    try:
        result = _converted(plain, ImageCms.ImageCmsProfile(BytesIO(profile)), "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image
    if alpha:
        result.putalpha(alpha)
    return result


def _converted(image: Image.Image, profile: Any, mode: str) -> Image.Image:
    result = ImageCms.profileToProfile(image, profile, _srgb(), outputMode=mode)
    assert result is not None  # it is None only for in-place conversion
    result.info.pop("icc_profile", None)
    return result


@cache
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def _is_srgb(profile: bytes) -> bool:
    try:
        name = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(BytesIO(profile)))
    except (ImageCms.PyCMSError, OSError):
        return True
    return name.startswith("sRGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Return ``image`` with 8-bit channels: L, LA, RGB, RGBA, CMYK or LAB."""
    mode = image.mode
    if mode in ("L", "LA", "RGB", "RGBA", "CMYK", "LAB"):
        return image
    if mode.startswith("I") or mode == "F":
        return _scaled(image)
    if mode in ("1", "YCbCr", "HSV", "RGBX"):
        return image.convert("L" if mode == "1" else "RGB")
    if mode == "La":
        image = image.convert("LA")
    return image.convert("RGBA")  # palettes, and premultiplied alpha


def _scaled(image: Image.Image) -> Image.Image:
    """Return a greyscale integer or float image as L, or as LA if one grey level is transparent."""
    grey = image if image.mode in ("I", "F") else image.convert("I")
    low, high = grey.getextrema()
    if image.mode == "F":
        most: float = 1
    elif image.mode == "I":  # some programs save 8-bit values this way
        most = next((most for most in _RANGES if high <= most), 65535)  # type: ignore[operator]
    else:
        most = 65535
    if not 0 <= low <= high <= most:  # type: ignore[operator]
        kind = "floats outside 0 to 1" if image.mode == "F" else "integers of more than 16 bits"
        raise UsageError(f"it contains {kind}, {low:g} to {high:g}: save it with 8 or 16 bits")
    scaled = grey.point(lambda value: value * (_CODES / most)).convert("L")
    if (clear := image.info.get("transparency")) is not None:
        scaled.info.pop("transparency", None)
        scaled.putalpha(Image.fromarray(np.uint8(_CODES) * (np.asarray(grey) != clear)))
    return scaled
