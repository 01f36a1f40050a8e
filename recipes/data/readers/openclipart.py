"""The Open Clip Art Library: metadata from the SVGs, images from their PNGs."""

import html
import re
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from PIL import Image

from recipes.data.candidates import Candidate, clean
from recipes.data.pictures import UnusableError, rasterise

# Signs, shapes and user interface elements have poor captions here and are common elsewhere.
_SKIPPED = re.compile(
    r"/(shapes|special|buttons|logos|map_symbols|led|roadsigns|aiga-symbols|duplicates|callouts"
    r"|flowchart|arrows|diagrams|connectors|folders|icons|network|flags|hazard|disability"
    r"|cards/(white|simple|bordered|cardbacks|ornamental)|battery)/"
)
# Text that is not a title but the name of the file, the artist or a whole collection.
_UNTITLED = re.compile(
    r"|untitled|drawing|unknown|unnamed.*|.*\bsvg\b.*|.*clip ?art by.*"
    r"|.*\b(collection|icons|iconset|cliparts?|theme)\b.*"
    r"|r16 sibmission|australian maps|map symbols|balloons-aj",
    re.I,
)
_SVG_LIMIT, _PNG_LIMIT, _PIXEL_LIMIT = 600_000, 1_500_000, 9_000_000  # bytes, bytes, pixels


def read(svgs: Path, pngs: Path, license: str) -> Iterator[Candidate]:
    """Yield the clip art in the folders of SVGs and PNGs, which have the same structure."""
    for path in sorted(svgs.rglob("*.svg")):
        if _SKIPPED.search(path.as_posix()) or path.stat().st_size > _SVG_LIMIT:
            continue
        relative = path.relative_to(svgs)
        svg = path.read_text(encoding="utf-8", errors="replace")
        png = pngs / relative.with_suffix(".png")
        yield _candidate(relative, svg, png, license)


def _candidate(relative: Path, svg: str, png: Path, license: str) -> Candidate:
    metadata = _first(r"<metadata.*?</metadata>", svg)
    title = _plain(_first(r"<cc:Work.*?<dc:title[^>]*>(.*?)</dc:title>", metadata))
    description = _plain(_first(r"<dc:description[^>]*>(.*?)</dc:description>", metadata))
    author = _plain(_first(r"<dc:creator>.*?<dc:title[^>]*>(.*?)</dc:title>", metadata))
    keywords = re.findall(r"<rdf:li[^>]*>(.*?)</rdf:li>", metadata, re.S)
    name = _file_title(relative.stem, author)
    if _UNTITLED.fullmatch(title) or len(title) > 70:
        title = name
    title = re.sub(r"\s*\d+$", "", title) or title
    return Candidate(
        key=relative.with_suffix("").as_posix(),
        texts=(title, *_other_name(title, name), *_sentence(description)),
        draw=partial(_draw, png, svg),
        kind="drawing",
        license=license,
        tags=_tags((*relative.parent.parts[::-1], *map(_plain, keywords)), author),
        author=author if len(author) < 60 else "",
        columns={"style": "clip art"},
    )


def _first(pattern: str, text: str) -> str:
    found = re.search(pattern, text, re.S)
    return found.group(found.re.groups) if found else ""


def _plain(text: str) -> str:
    """Return a text on one line, without mark-up."""
    without = re.sub(r"<[^>]*>", " ", html.unescape(html.unescape(text)))
    return re.sub(r"\s+", " ", without).strip()


def _file_title(stem: str, author: str) -> str:
    """Return the title in a file's name, without the artist (often truncated) and number.

    >>> _file_title("crazy_monkey_shandy_brow_01", "Shandy Brown")
    'crazy monkey'
    """
    without_number = re.sub(r"(\.svg.*)?_?(\d+r?|_r)$", "", stem)
    words = clean(re.sub(r"[_-](ganson|aj)$", "", without_number)).split()
    for first in range(max(1, len(words) - 3), len(words)):
        rest = _squeezed(" ".join(words[first:]))
        if len(rest) > 2 and _squeezed(author).startswith(rest):
            return " ".join(words[:first])
    return " ".join(words) or clean(stem)


def _other_name(title: str, name: str) -> tuple[str, ...]:
    """Return ``(name,)`` if the name adds to the title, else an empty tuple."""
    return () if len(name) < 3 or _squeezed(title).startswith(_squeezed(name)) else (name,)


def _tags(words: Iterable[str], author: str) -> tuple[str, ...]:
    """Return keywords, except those for programs, the collection's structure and the artist."""
    none = ("", "hash", "unsorted", author.lower())
    return tuple(w for w in words if w.lower() not in none and "hash(" not in w.lower())


def _squeezed(text: str) -> str:
    return re.sub(r"[^a-z]", "", text.lower())


def _sentence(description: str) -> tuple[str, ...]:
    good = len(description) > 4 and "HASH(" not in description
    return (description[:160],) if good else ()


def _draw(png: Path, svg: str) -> Image.Image:
    """Return the PNG, because resvg rejects half of these old SVGs; without a PNG, draw the SVG."""
    if not png.is_file():
        return rasterise(svg)
    if png.stat().st_size > _PNG_LIMIT:
        raise UnusableError("file too large")
    with Image.open(png) as opened:
        if opened.width * opened.height > _PIXEL_LIMIT:
            raise UnusableError("too many pixels")
        image = opened.convert("RGBA")
    image.thumbnail((512, 512))
    return image
