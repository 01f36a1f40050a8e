"""Photos from GCompris that, by its READMEs, are under CC0 or CC BY, or free of copyright."""

import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from PIL import Image

from recipes.data.candidates import Candidate, clean, uncamel
from recipes.data.readers import rcc
from recipes.data.readers.crops import crops

_ROOT = "gcompris/src/activities"


@dataclass(frozen=True, slots=True)
class Activity:
    """An activity with photos: the end of their captions, its tag, and the squares per photo."""

    suffix: str = ""
    tag: str = ""
    count: int = 6


_ACTIVITIES = {
    "explore_monuments": Activity("", "monuments"),
    "explore_world_animals": Activity("", "animals"),
    "explore_farm_animals": Activity("", "farm animals"),
    "erase": Activity("", "", 6),
    "explore_world_music": Activity(" music", "music", 3),
    "categorization": Activity("", "", 2),
}
_WITHOUT_PICTURES = ("/alphabets/", "/numbers/")
_SINGULAR = {"others": "object", "other": "object", "fishes": "fish"}


@dataclass(frozen=True, slots=True)
class Rights:
    """The licence, author and origin of a file."""

    license: str
    author: str
    origin: str


def read(source: str, folder: Path) -> Iterator[Candidate]:
    """Yield squares of the freely licensed photos in the resource files of a folder."""
    for name, activity in _ACTIVITIES.items():
        files = dict(rcc.read((folder / f"{name}.rcc").read_bytes()))
        rights = read_rights(files)
        for path in sorted(files):
            usable = path.endswith(".webp") and not any(w in path for w in _WITHOUT_PICTURES)
            if usable and path in rights and (license := permissive(rights[path].license)):
                whole = _candidate(path, activity, files[path], license, rights[path])
                yield from crops(source, whole, activity.count, 0.6)


def permissive(license: str) -> str:
    """Return the usual name of a licence that requires at most attribution, else "".

    >>> permissive("CC-BY 2.0"), permissive("CC-BY-SA 4.0")
    ('CC-BY-2.0', '')
    """
    name = license.strip().upper().replace(" ", "-")
    if name.startswith("PUBLIC-DOMAIN"):
        return "public domain"
    if name in ("CC0", "CC0-1.0"):
        return "CC0-1.0"
    return name if re.fullmatch(r"CC-BY-[234]\.\d", name) else ""


def read_rights(files: Mapping[str, bytes]) -> dict[str, Rights]:
    """Return the rights of all files named in the READMEs among ``files``, by path."""
    found: dict[str, Rights] = {}
    for path, content in files.items():
        folder, _, name = path.rpartition("/")
        if name.startswith("README"):
            for stanza in re.split(r"\n\s*\n", content.decode("utf-8", "replace")):
                rights, named = _stanza(stanza)
                found.update({f"{folder}/{file}": rights for file in named if rights})
    return found


def _stanza(text: str) -> tuple[Rights | None, list[str]]:
    """Return the rights, or None, and the files in a stanza with "License:" and "Files:" fields."""
    fields = {
        key.lower(): value.strip()
        for key, value in re.findall(r"(?m)^(\w+):((?:.|\n(?!\w+:))*)", text)
    }
    license = fields.get("license", fields.get("licence", ""))
    if not license:
        return None, []
    files = fields.get("files", fields.get("file", "")).split()
    return Rights(license, fields.get("copyright", ""), fields.get("source", "")), files


def _candidate(
    path: str, activity: Activity, content: bytes, license: str, rights: Rights
) -> Candidate:
    folder, _, file = path.rpartition("/")
    name = _name(file.rpartition(".")[0])
    place = folder.rpartition("/")[2]
    tags = (activity.tag, "" if place in ("resource", "others") else place)
    return Candidate(
        key=path.removeprefix(f"{_ROOT}/"),
        texts=(_SINGULAR.get(name, name) + activity.suffix,),
        draw=partial(_draw, content),
        kind="photo",
        license=license,
        tags=tags,
        author=" ".join(rights.author.split()),
        columns={"origin": rights.origin} if rights.origin else {},
    )


def _name(stem: str) -> str:
    """Return a file's name as words.

    >>> _name("statueofLiberty2")
    'statue of liberty'
    """
    return clean(
        uncamel(re.sub(r"(?<=[a-z]{2})(of|des|de)(?=[A-Z])", r" \1", stem.rstrip("0123456789")))
    )


def _draw(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))
