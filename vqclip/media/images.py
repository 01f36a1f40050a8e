"""Images: loading, fitting, conversion to tensors, and saving with settings."""

import logging
import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.ExifTags import Base

from vqclip.errors import UsageError, VqclipError, reason_of
from vqclip.files.atomic import replacing
from vqclip.files.environment import existing_file
from vqclip.files.filetypes import is_heic, why_no_image
from vqclip.files.filters import own_filters
from vqclip.media.colours import to_srgb
from vqclip.media.metadata import embedded_text, parse_metadata, save_options

if TYPE_CHECKING:
    from torch import Tensor

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
MOST_PIXELS = 256_000_000  # maximum for reading an image, which takes a gigabyte of memory
_MOST_READ = 16_000_000  # more pixels than any generated image has
_HEAD = 1024  # bytes that identify the format
_MAX_DOWNLOAD = 64 * 2**20  # bytes
_TIMEOUT = 30  # seconds
# Without a handler, Pillow would print errors about tags alongside our own.
logging.getLogger("PIL").addHandler(logging.NullHandler())


def load_image(source: str | Path) -> Image.Image:
    """Return the image at a path or http(s) URL in sRGB, upright and on a white background.

    Images of more than 16 megapixels are shrunk by an integer factor to fit this limit.

    Raises:
        UsageError: the file is missing, too large or not an image.
    """
    image = open_image(source)
    try:
        return flatten(reduced(image, _MOST_READ))
    except UsageError as error:
        raise UsageError(f"cannot read {source} as an image: {error}") from error


def open_image(source: str | Path) -> Image.Image:
    """Return the image at a path or http(s) URL, upright and in its own mode.

    Raises:
        UsageError: the file is missing, too large or not an image.
    """
    stream: BytesIO | Path
    if str(source).startswith(("http://", "https://")):
        stream = BytesIO(_download(str(source)))
    else:
        stream = existing_file(source, "image")
    with _reading(source), _opened(stream, source) as image:
        ImageOps.exif_transpose(image, in_place=True)
        image.load()
        return image


@contextmanager
def _reading(source: str | Path) -> Iterator[None]:
    """Re-raise errors in reading an image as UsageErrors with one-line messages."""
    try:
        with _up_to_the_limit():
            yield
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise UsageError(
            f"{source} has more than {MOST_PIXELS // 10**6} megapixels: make it smaller first"
        ) from error
    except (VqclipError, MemoryError):
        raise
    except Exception as error:  # decoders raise any exception on damaged files
        raise UsageError(f"cannot read {source} as an image: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:  # from the system, not from a decoder
        return reason_of(error)
    advice = "save it as PNG or JPEG, or copy it again if it is damaged"
    return f"{_first_line(error).rstrip('.')}: {advice}"


@contextmanager
def _up_to_the_limit() -> Iterator[None]:
    """Make Pillow apply vqclip's size limit, which admits images from high-resolution cameras.

    Pillow's warnings about damaged metadata in readable images are suppressed.
    """
    with own_filters():  # also protects Pillow's limit, which belongs to the process, too
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, MOST_PIXELS
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _opened(stream: BytesIO | Path, source: str | Path) -> Image.Image:
    """Open an image; HEIC images, which phones produce, need an extra package.

    Raises:
        UsageError: the file is not an image, or the package that it needs is not installed.
    """
    if is_heic(_head(stream)[:32]):
        if find_spec("pillow_heif") is None:
            raise UsageError(
                f"{source} is a HEIC image: run pip install 'vqclip[heic]', or save it as JPEG"
            )
        import pillow_heif

        pillow_heif.register_heif_opener()
    try:
        return Image.open(stream)
    except UnidentifiedImageError:
        reason = why_no_image(_head(stream))
        raise UsageError(f"cannot read {source} as an image: {reason}") from None


def _head(stream: BytesIO | Path) -> bytes:
    if isinstance(stream, BytesIO):
        return stream.getvalue()[:_HEAD]
    with stream.open("rb") as file:
        return file.read(_HEAD)


def image_size(source: Path) -> tuple[int, int]:
    """Return the upright (width, height) of the image in a file, reading only the header.

    Raises:
        UsageError: the file is missing or not an image.
    """
    with _reading(source), _opened(source, source) as image:
        turned = image.getexif().get(Base.Orientation, 1) >= 5
        return (image.height, image.width) if turned else image.size


def within(size: tuple[int, int], most: int) -> tuple[int, int]:
    """Return ``size``, scaled down in proportion if it has more than ``most`` pixels.

    >>> within((4000, 3000), 480_000)
    (800, 600)
    """
    scale = min(1.0, math.sqrt(most / (size[0] * size[1])))
    return max(1, int(size[0] * scale)), max(1, int(size[1] * scale))


def reduced(image: Image.Image, most: int) -> Image.Image:
    """Shrink ``image`` by the smallest integer factor that leaves at most ``most`` pixels."""
    by = math.ceil(math.sqrt(image.width * image.height / most))
    if by < 2:
        return image
    smaller = to_srgb(image).reduce(by)
    smaller.info.pop("icc_profile", None)
    return smaller


def flatten(image: Image.Image) -> Image.Image:
    """Return ``image`` in sRGB, with a white background behind transparent areas.

    Raises:
        UsageError: floating-point values are outside [0, 1], or integers exceed 16 bits.
    """
    image = to_srgb(image)
    if image.mode not in ("LA", "RGBA") and "transparency" not in image.info:
        return image.convert("RGB")
    rgba = image.convert("RGBA")
    white = Image.new("RGBA", rgba.size, "white")
    return Image.alpha_composite(white, rgba).convert("RGB")


def _download(url: str) -> bytes:
    request = Request(url, headers={"User-Agent": "vqclip"})
    try:
        with urlopen(request, timeout=_TIMEOUT) as response:
            data: bytes = response.read(_MAX_DOWNLOAD + 1)
    except (URLError, OSError, ValueError) as error:
        raise VqclipError(f"cannot download {url}: {_first_line(error)}") from error
    if len(data) > _MAX_DOWNLOAD:
        raise UsageError(f"{url} is larger than {_MAX_DOWNLOAD >> 20} MiB: download it yourself")
    return data


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def fit_image(image: Image.Image, size: tuple[int, int], how: str = "cover") -> Image.Image:
    """Return ``image`` resized to ``size`` (width, height).

    ``cover`` crops the image, ``contain`` pads it with its mean colour, and ``stretch`` distorts
    it.
    """
    lanczos = Image.Resampling.LANCZOS
    if how == "stretch":
        return image.resize(size, lanczos)
    if how == "contain":
        mean = image.resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
        return ImageOps.pad(image, size, lanczos, color=mean)  # type: ignore[arg-type]
    return ImageOps.fit(image, size, lanczos)


def in_shape(image: Image.Image, size: tuple[int, int], how: str = "cover") -> Image.Image:
    """Crop or pad a map of any mode to the proportions of ``size``, like :func:`fit_image`.

    Pixel values do not change. ``contain`` pads with 0, and ``stretch`` returns the map unchanged.
    """
    if how == "stretch":
        return image
    scale = (min if how == "cover" else max)(image.width / size[0], image.height / size[1])
    width, height = round(size[0] * scale), round(size[1] * scale)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    if (left, top) == (0, 0) and (width, height) == image.size:
        return image
    return image.crop((left, top, left + width, top + height))


def to_tensor(image: Image.Image) -> "Tensor":
    """Return an RGB image as (1, 3, h, w) float32 in [0, 1]."""
    import torch

    pixels = torch.from_numpy(np.array(image.convert("RGB")))  # (h, w, 3)
    return pixels.permute(2, 0, 1)[None].float() / 255


def to_array(image: "Tensor") -> "np.ndarray[Any, np.dtype[np.uint8]]":
    """Return an image, (1, 3, h, w) or (3, h, w) in [0, 1], as (h, w, 3) uint8.

    Values are rounded and clamped, and a single channel is repeated three times.
    """
    import torch

    height, width = image.shape[-2:]
    pixels = image.detach().reshape(-1, height, width).expand(3, -1, -1).float()
    rounded = (pixels * 255).round_().clamp_(0, 255).to(torch.uint8)
    return np.ascontiguousarray(rounded.permute(1, 2, 0).cpu().numpy())


def to_pil(image: "Tensor") -> Image.Image:
    """Return an image, (1, 3, h, w) or (3, h, w) in [0, 1], as a Pillow image in RGB."""
    return Image.fromarray(to_array(image))


def save_image(
    image: Image.Image,
    path: Path,
    metadata: Mapping[str, Any] | None = None,
    *,
    overwrite: bool = False,
) -> Path:
    """Save an image and its settings in one file, atomically; the suffix determines the format.

    A PNG contains ``metadata`` as JSON in an iTXt chunk named ``vqclip``, and the prompt as
    ``Description``. JPEG and WebP contain the JSON in the Exif ``UserComment``, if it is shorter
    than 32,000 characters.

    Raises:
        UsageError: the suffix is unknown.
        FileExistsError: the file exists and ``overwrite`` is not set.
        OSError: the file cannot be written.
    """
    name = image_format(path)
    with replacing(path, overwrite=overwrite) as temporary, temporary.open("wb") as file:
        image.save(file, name, **save_options(name, metadata, image.size))
    return path


def image_format(path: Path) -> str:
    """Return Pillow's name for the format that the suffix of ``path`` indicates."""
    if path.suffix.lower() not in FORMATS:
        raise UsageError(
            f"cannot write {path.name!r} as an image: its name must end in {', '.join(FORMATS)}"
        )
    return FORMATS[path.suffix.lower()]


def read_metadata(path: Path) -> dict[str, Any]:
    """Return the settings stored in an image by :func:`save_image` or another program.

    Raises:
        UsageError: the file is not an image, or has no settings.
    """
    load_image(path)  # raises the right error if the file is not an image
    with _reading(path), Image.open(path) as image:
        text = embedded_text(image)
    return parse_metadata(text, path)
