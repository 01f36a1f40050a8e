"""Settings stored in images, as PNG chunks or Exif data."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.ExifTags import IFD, Base
from PIL.PngImagePlugin import PngInfo

from vqclip.errors import UsageError
from vqclip.files.formatting import as_json, encodable
from vqclip.media import parameters

KEY = "vqclip"  # key of the iTXt chunk that holds the settings
_MAX_EXIF = 32_000  # number of two-byte characters that fit in a JPEG


def save_options(
    name: str, metadata: Mapping[str, Any] | None, size: tuple[int, int]
) -> dict[str, Any]:
    """Return Pillow's options for saving an image in the format ``name`` with its settings.

    A PNG holds the settings as JSON in an iTXt chunk, the prompt as ``Description``, and, as
    ``parameters``, the settings that other programs understand. JPEG and WebP hold the JSON in the
    Exif ``UserComment``, if it is shorter than 32,000 characters.
    """
    text = as_json(metadata, sort_keys=True) if metadata else ""
    if name == "PNG":
        return {"pnginfo": _png_info(text, metadata or {}, size)}
    return {"quality": 95, **({"exif": exif(text)} if text and len(text) < _MAX_EXIF else {})}


def _png_info(text: str, metadata: Mapping[str, Any], size: tuple[int, int]) -> PngInfo:
    info = PngInfo()
    if text:
        info.add_itxt("Description", encodable(str(metadata.get("prompt", ""))))
        info.add_itxt("Software", f"vqclip {metadata.get('version', '')}".strip())
        info.add_itxt(parameters.PARAMETERS, parameters.write_parameters(metadata, size))
        info.add_itxt(KEY, text)
    return info


def exif(text: str) -> bytes:
    """Return Exif data with ``text`` as the ``UserComment``."""
    data = Image.Exif()
    data.get_ifd(IFD.Exif)[Base.UserComment.value] = b"UNICODE\0" + text.encode("utf-16-be")
    return data.tobytes()


def embedded_text(image: Image.Image) -> str:
    """Return the text that contains an image's settings, or an empty string if there is none.

    The text is vqclip's JSON, or the ``parameters`` text of other programs.
    """
    texts = getattr(image, "text", {})
    text: str = texts.get(KEY) or texts.get(parameters.PARAMETERS, "")
    comment = image.getexif().get_ifd(IFD.Exif).get(Base.UserComment.value, b"")
    if not text and isinstance(comment, bytes) and comment.startswith(b"UNICODE\0"):
        text = comment[8:].decode("utf-16-be", errors="replace")
    return text


def parse_metadata(text: str, path: Path) -> dict[str, Any]:
    """Return the settings recorded in ``text``, which comes from the image at ``path``.

    The text is vqclip's JSON, or has the format that
    :func:`vqclip.media.parameters.parse_parameters` reads.

    Raises:
        UsageError: the text is in neither format.
    """
    try:
        values = json.loads(text)
    except ValueError:
        values = parameters.parse_parameters(text)
    if not isinstance(values, dict) or not values:
        raise UsageError(f"{path} contains no vqclip settings")
    check_metadata(values, path)
    return values


def check_metadata(values: Mapping[str, Any], path: Path) -> None:
    """Check that metadata has the structure that vqclip writes.

    Raises:
        UsageError: the settings are not a mapping, or a hash of weights or images is not text.
    """
    hashes: list[Any] = []
    for kind in ("weights", "pictures"):
        named = values.get(kind, {})
        hashes += named.values() if isinstance(named, Mapping) else [None]
    texts = [text for each in hashes for text in (each if isinstance(each, list) else [each])]
    settings = values.get("settings", {})
    if not isinstance(settings, Mapping) or not all(isinstance(text, str) for text in texts):
        raise UsageError(f"the settings in {path} are damaged")
