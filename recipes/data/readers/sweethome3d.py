"""The furniture catalogues of Sweet Home 3D: a rendered icon for each 3D model."""

import io
import re
import zipfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from PIL import Image

from recipes.data.candidates import Candidate

_LICENSES = {
    "BlendSwap-CC-0": "CC0-1.0",
    "BlendSwap-CC-BY": "CC-BY-3.0",
    "KatorLegaz": "CC-BY-3.0",
    "Reallusion": "CC-BY-3.0",
    "Scopia": "CC-BY-3.0",
}


def read(folder: Path) -> Iterator[Candidate]:
    """Yield the models of all catalogues, ``*.sh3f``, in a folder."""
    for catalogue, license in _LICENSES.items():
        path = folder / f"{catalogue}.sh3f"
        for number, piece in read_catalogue(path).items():
            if piece.get("icon"):
                yield _candidate(f"{catalogue}/{number}", piece, path, license)


def read_catalogue(path: Path) -> dict[str, dict[str, str]]:
    """Return each piece's properties by its number, parsed from ``name#7=Armchair``."""
    with zipfile.ZipFile(path) as archive:
        text = archive.read("PluginFurnitureCatalog.properties").decode("latin-1")
    pieces: dict[str, dict[str, str]] = {}
    for name, number, value in re.findall(r"(?m)^\s*(\w+)#(\d+)=(.*?)\s*$", text):
        pieces.setdefault(number, {})[name] = _unescaped(value)
    return pieces


def _unescaped(value: str) -> str:
    r"""Return a value from a Java properties file with escapes such as ``\u00e9`` resolved."""
    return re.sub(r"\\u([0-9a-fA-F]{4})", lambda found: chr(int(found[1], 16)), value)


def _candidate(key: str, piece: Mapping[str, str], path: Path, license: str) -> Candidate:
    tags = [tag for tag in piece.get("tags", "").split(",") if "swap" not in tag.lower()]
    return Candidate(
        key=key,
        texts=(piece.get("name", ""), piece.get("description", "")),
        draw=partial(_draw, path, piece["icon"].lstrip("/")),
        kind="render",
        license=license,
        tags=(*tags, piece.get("category", "")),
        author=piece.get("creator", ""),
        columns={"style": "3d render"},
    )


def _draw(path: Path, member: str) -> Image.Image:
    with zipfile.ZipFile(path) as archive:
        return Image.open(io.BytesIO(archive.read(member))).convert("RGBA")
