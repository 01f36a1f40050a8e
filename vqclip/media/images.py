"""Pictures: load, fit, to and from tensors, save with the settings inside, never overwrite."""

import errno
import json
import os
import re
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.ExifTags import IFD, Base
from PIL.PngImagePlugin import PngInfo

from vqclip.errors import UsageError, VqclipError

if TYPE_CHECKING:
    from torch import Tensor

KEY = "vqclip"  # of the iTXt chunk that carries the settings
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
        stream = Path(source).expanduser()
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


def to_tensor(image: Image.Image) -> "Tensor":
    """Return an RGB picture as (1, 3, h, w) float32 in [-1, 1]: u8 / 127.5 − 1."""
    import torch

    pixels = torch.from_numpy(np.array(image.convert("RGB")))  # (h, w, 3)
    return pixels.permute(2, 0, 1)[None].float() / 127.5 - 1


def to_array(image: "Tensor") -> "np.ndarray[Any, np.dtype[np.uint8]]":
    """Return (1, 3, h, w) or (3, h, w) in [-1, 1] as (h, w, 3) uint8, rounded, cut to range."""
    import torch

    pixels = image.detach().reshape(image.shape[-3:]).float()
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
    text = json.dumps(metadata, ensure_ascii=False, sort_keys=True) if metadata else ""
    options: dict[str, Any] = {"quality": 95}
    if name == "PNG":
        options = {"pnginfo": _png_info(text, metadata or {})}
    elif text and len(text) < _MOST_EXIF:
        options["exif"] = exif(text)
    with replacing(path, overwrite=overwrite) as temporary, temporary.open("wb") as file:
        image.save(file, name, **options)
    return path


def image_format(path: Path) -> str:
    """Return Pillow's name of the format that the suffix of ``path`` stands for."""
    if path.suffix.lower() not in FORMATS:
        raise UsageError(
            f"cannot write {path.name!r} as a picture: its name must end in {', '.join(FORMATS)}"
        )
    return FORMATS[path.suffix.lower()]


def _png_info(text: str, metadata: Mapping[str, Any]) -> PngInfo:
    info = PngInfo()
    if text:
        info.add_itxt("Description", str(metadata.get("prompt", "")))
        info.add_itxt("Software", f"vqclip {metadata.get('version', '')}".strip())
        info.add_itxt(KEY, text)
    return info


def exif(text: str) -> bytes:
    """Return Exif data with ``text`` as the user's comment."""
    data = Image.Exif()
    data.get_ifd(IFD.Exif)[Base.UserComment.value] = b"UNICODE\0" + text.encode("utf-16-be")
    return data.tobytes()


def read_metadata(path: Path) -> dict[str, Any]:
    """Return the settings that :func:`save_image` put into a picture.

    Raises:
        UsageError: no picture, or one that vqclip did not make.
    """
    load_image(path)  # its errors are the right ones for anything that is no picture
    with Image.open(path) as image:
        text = getattr(image, "text", {}).get(KEY, "")
        comment = image.getexif().get_ifd(IFD.Exif).get(Base.UserComment.value, b"")
    if not text and isinstance(comment, bytes) and comment.startswith(b"UNICODE\0"):
        text = comment[8:].decode("utf-16-be", errors="replace")
    try:
        values = json.loads(text)
    except ValueError:
        raise UsageError(f"{path} carries no vqclip settings") from None
    if not isinstance(values, dict):
        raise UsageError(f"{path} carries no vqclip settings")
    check_metadata(values, path)
    return values


def check_metadata(values: Mapping[str, Any], path: Path) -> None:
    """Refuse what a picture, film or checkpoint says of itself if it is not as vqclip writes it.

    Raises:
        UsageError: its settings are no mapping, or its weights or pictures none of hashes.
    """
    hashes: list[Any] = []
    for kind in ("weights", "pictures"):
        named = values.get(kind, {})
        hashes += named.values() if isinstance(named, Mapping) else [None]
    texts = [text for each in hashes for text in (each if isinstance(each, list) else [each])]
    settings = values.get("settings", {})
    if not isinstance(settings, Mapping) or not all(isinstance(text, str) for text in texts):
        raise UsageError(f"the settings in {path} are damaged")


@contextmanager
def writing() -> Iterator[None]:
    """Within it, what cannot be written is told in one line.

    Raises:
        VqclipError: it could not.
    """
    try:
        yield
    except FileExistsError as error:
        raise VqclipError(f"{error}; it was left as it is") from error
    except OSError as error:
        advice = "; make room and start again" if error.errno == errno.ENOSPC else ""
        raise VqclipError(f"cannot write: {error.strerror or error}{advice}") from error


@contextmanager
def replacing(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary path beside ``path``; on success it becomes ``path``, else it vanishes.

    Raises:
        FileExistsError: ``path`` is taken and ``overwrite`` is not set, also when somebody else
            took it meanwhile; nothing is lost of theirs.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(
        prefix=f".{path.stem[:40]}-", suffix=f".part{path.suffix}", dir=path.parent
    )
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        _publish(temporary, path, overwrite)
    finally:
        temporary.unlink(missing_ok=True)


_MOST_EXIF = 32_000  # characters, of two bytes: what a JPEG has room for
_TEMPORARY = re.compile(r"\..{0,40}-[a-z0-9_]{8}\.part(\.\w+)?")  # as mkstemp names it


def sweep(folder: Path, only: Callable[[Path], bool] = lambda _: True) -> None:
    """Remove what :func:`replacing` left there when its process was killed, and nothing else."""
    for path in folder.glob(".*-*.part*") if folder.is_dir() else ():
        if _TEMPORARY.fullmatch(path.name) and only(path):
            path.unlink(missing_ok=True)


def _publish(temporary: Path, path: Path, overwrite: bool) -> None:
    if overwrite:
        temporary.replace(path)
        return
    try:
        os.link(temporary, path)  # unlike a rename, fails where the name is taken
    except (PermissionError, NotImplementedError, OSError) as error:
        if isinstance(error, FileExistsError) or path.exists():
            raise FileExistsError(f"{path} exists") from error
        temporary.replace(path)  # a file system without hard links


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def free_path(path: Path, taken: Callable[[Path], bool] = Path.exists) -> Path:
    """Return ``path``, or the first of ``name-2``, ``name-3``, … that is not taken.

    >>> free_path(Path("a.png"), {Path("a.png")}.__contains__).name
    'a-2.png'
    """
    candidate, number = path, 1
    while taken(candidate):
        number += 1
        candidate = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return candidate
