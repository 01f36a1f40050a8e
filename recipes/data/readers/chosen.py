"""Photos, paintings and renders from git repositories, described by the tables in chosen/."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from recipes.data.candidates import Candidate
from recipes.data.pictures import opened
from recipes.data.readers.crops import square
from recipes.data.tables import read_table, table_path

_ACROSS = {"": 0.5, "left": 0.0, "right": 1.0}


@dataclass(frozen=True, slots=True)
class Wording:
    """Defaults for all images in a repository, which its table can override.

    texts: templates for the captions; ``{}`` stands for an image's first caption.
    """

    license: str
    texts: tuple[str, ...] = ("{}", "a {kind} of {}")
    tags: tuple[str, ...] = ()
    category: str = ""
    kind: str = "photo"
    style: str = ""


def read(folder: Path, repository: str, wording: Wording) -> Iterator[Candidate]:
    """Yield the images in a repository's table, with files in ``folder``.

    The table's columns are ``path``; ``box``, the part to use (empty: the centre square; ``left``
    or ``right``: the square on that side; ``whole``; or the left, top, right and bottom edges in
    pixels, made square with the border's colour); ``captions`` and ``tags``, separated by ``; ``;
    and ``kind``, ``category``, ``license``, ``author`` and ``origin`` (the image's own page).
    """
    for row in read_table(table_path(repository)):
        yield _candidate(folder, repository, wording, row)


def _candidate(
    folder: Path, repository: str, wording: Wording, row: Mapping[str, str]
) -> Candidate:
    path, box = folder / row["path"], row.get("box", "")
    kind = row.get("kind") or wording.kind
    first, *others = row["captions"].split("; ")
    columns = {
        "style": wording.style,
        "category": row.get("category") or wording.category,
        "origin": row.get("origin") or f"{repository}:{row['path']}",
        "crop": box in ("left", "right"),
    }
    return Candidate(
        key=f"{row['path']}#{box}",
        texts=(*(text.format(first, kind=kind) for text in wording.texts), *others),
        draw=partial(opened, path) if kind == "render" else partial(_draw, path, box),
        kind=kind,
        license=row.get("license") or wording.license,
        tags=(*row.get("tags", "").split("; "), *wording.tags),
        author=row.get("author", ""),
        columns={name: value for name, value in columns.items() if value},
    )


def _draw(path: Path, box: str) -> Image.Image:
    upright = partial(_upright, path)
    if box in _ACROSS:
        return square(upright, 1, _ACROSS[box], 0.5)
    image = upright()
    if box != "whole":
        left, top, right, bottom = map(int, box.split())
        image = image.crop((left, top, right, bottom))
    return padded(image)


def _upright(path: Path) -> Image.Image:
    """Return an RGB image, turned upright as its camera recorded."""
    return ImageOps.exif_transpose(opened(path)).convert("RGB")


def padded(image: Image.Image) -> Image.Image:
    """Return an RGB image, made square with the median colour of its border."""
    pixels = np.asarray(image.resize((64, 64), Image.Resampling.BOX))
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    red, green, blue = np.median(border, 0).astype(int).tolist()
    side = max(image.size)
    whole = Image.new("RGB", (side, side), (red, green, blue))
    whole.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return whole
