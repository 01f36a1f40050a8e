"""Images: loading, fitting, conversion to and from tensors, saving with their settings."""

import warnings
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from vqclip.errors import UsageError, VqclipError
from vqclip.files.atomic import replacing
from vqclip.files.environment import user_path
from vqclip.media.metadata import embedded_text, parse_metadata, save_options

if TYPE_CHECKING:
    from torch import Tensor

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
_MAX_DOWNLOAD = 64 * 2**20  # bytes
_TIMEOUT = 30  # seconds


def load_image(source: str | Path) -> Image.Image:
    """Return the RGB picture at a path or an http(s) URL, turned upright, alpha over white.

    Raises:
        UsageError: missing, not a picture, or too large to be one.
    """
    return flatten(open_image(source))


def open_image(source: str | Path) -> Image.Image:
    """Return the picture at a path or an http(s) URL in its own mode, turned upright.

    Raises:
        UsageError: missing, not a picture, or too large to be one.
    """
    stream: BytesIO | Path
    if str(source).startswith(("http://", "https://")):
        stream = BytesIO(_download(str(source)))
    else:
        stream = user_path(source)
        if not stream.is_file():
            raise UsageError(f"no such image: {source}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(stream) as image:
                return ImageOps.exif_transpose(image)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError) as error:
        raise UsageError(f"cannot read {source} as an image: {_first_line(error)}") from error
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise UsageError(f"{source} is too large: {_first_line(error)}") from error


def flatten(image: Image.Image) -> Image.Image:
    """Return ``image`` as RGB, what is transparent over white."""
    if image.mode in ("RGB", "L", "CMYK"):
        return image.convert("RGB")
    if image.mode.startswith("I;16"):  # Pillow would cut off what is above 255
        image = image.convert("I").point(lambda value: value / 257).convert("L")
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


def fit(image: Image.Image, size: tuple[int, int], how: str = "cover") -> Image.Image:
    """Return ``image`` at ``size`` (width, height).

    ``cover`` cuts off what sticks out, ``contain`` pads with the picture's mean colour,
    ``stretch`` distorts.
    """
    lanczos = Image.Resampling.LANCZOS
    if how == "stretch":
        return image.resize(size, lanczos)
    if how == "contain":
        mean = image.resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
        return ImageOps.pad(image, size, lanczos, color=mean)  # type: ignore[arg-type]
    return ImageOps.fit(image, size, lanczos)


def in_shape(image: Image.Image, size: tuple[int, int], how: str = "cover") -> Image.Image:
    """Cut or pad a map of any mode to the proportions of ``size``, as :func:`fit` would.

    Its values stay as they are; what ``contain`` pads is 0.
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
    """Return an RGB picture as (1, 3, h, w) float32 in [-1, 1]: u8 / 127.5 − 1."""
    import torch

    pixels = torch.from_numpy(np.array(image.convert("RGB")))  # (h, w, 3)
    return pixels.permute(2, 0, 1)[None].float() / 127.5 - 1


def to_array(image: "Tensor") -> "np.ndarray[Any, np.dtype[np.uint8]]":
    """Return (1, 3, h, w) or (3, h, w) in [-1, 1] as (h, w, 3) uint8, rounded, cut to range.

    One channel becomes three, all alike.
    """
    import torch

    height, width = image.shape[-2:]
    pixels = image.detach().reshape(-1, height, width).expand(3, -1, -1).float()
    rounded = ((pixels + 1) * 127.5).round_().clamp_(0, 255).to(torch.uint8)
    return np.ascontiguousarray(rounded.permute(1, 2, 0).cpu().numpy())


def to_pil(image: "Tensor") -> Image.Image:
    """Return (1, 3, h, w) or (3, h, w) in [-1, 1] as an RGB picture."""
    return Image.fromarray(to_array(image))


def save_image(
    image: Image.Image,
    path: Path,
    metadata: Mapping[str, Any] | None = None,
    *,
    overwrite: bool = False,
) -> Path:
    """Save a picture, atomically, with its settings inside; the suffix names the format.

    PNG carries ``metadata`` as JSON in an iTXt chunk named ``vqclip``, and the prompt as
    ``Description``; JPEG and WebP carry the JSON in the Exif ``UserComment``, where a JPEG has room
    for prompts of some 30,000 characters.

    Raises:
        UsageError: an unknown suffix.
        FileExistsError: the path is taken and ``overwrite`` is not set.
        OSError: it cannot be written.
    """
    name = image_format(path)
    with replacing(path, overwrite=overwrite) as temporary, temporary.open("wb") as file:
        image.save(file, name, **save_options(name, metadata))
    return path


def image_format(path: Path) -> str:
    """Return Pillow's name of the format that the suffix of ``path`` stands for."""
    if path.suffix.lower() not in FORMATS:
        raise UsageError(
            f"cannot write {path.name!r} as a picture: its name must end in {', '.join(FORMATS)}"
        )
    return FORMATS[path.suffix.lower()]


def read_metadata(path: Path) -> dict[str, Any]:
    """Return the settings that :func:`save_image` put into a picture.

    Raises:
        UsageError: no picture, or one that vqclip did not make.
    """
    load_image(path)  # its errors are the right ones for anything that is no picture
    with Image.open(path) as image:
        text = embedded_text(image)
    return parse_metadata(text, path)
