"""The Open Clip Art Library: what the SVGs say of themselves, drawn from their PNGs."""

import html
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from PIL import Image

from recipes.data.candidates import Candidate, clean
from recipes.data.pictures import UnusableError, rasterise

# Signs, shapes and parts of user interfaces: plenty of them elsewhere, and poor captions here.
_SKIPPED = re.compile(
    r"/(shapes|special|buttons|logos|map_symbols|led|roadsigns|aiga-symbols|duplicates|callouts"
    r"|flowchart|arrows|diagrams|connectors|folders|icons|network|flags|hazard|disability"
    r"|cards/(white|simple|bordered|cardbacks|ornamental)|battery)/"
)
_UNTITLED = re.compile(r"|untitled|drawing|unknown|unnamed.*|.*clip ?art by.*|.*\.svg", re.I)
_SVG_LIMIT, _PNG_LIMIT, _PIXEL_LIMIT = 600_000, 1_500_000, 9_000_000  # bytes, bytes, pixels


def read(svgs: Path, pngs: Path, license: str) -> Iterator[Candidate]:
    """Yield the clip art of the folders of SVGs and PNGs, which are built alike."""
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
    keywords = [_plain(k) for k in re.findall(r"<rdf:li[^>]*>(.*?)</rdf:li>", metadata, re.S)]
    name = _file_title(relative.stem)
    if _UNTITLED.fullmatch(title) or len(title) > 70:
        title = name
    folders = [folder for folder in relative.parent.parts[::-1] if folder != "unsorted"]
    return Candidate(
        key=relative.with_suffix("").as_posix(),
        texts=(title, *([name] if len(name) > 2 else []), *_sentence(description)),
        draw=partial(_draw, png, svg),
        kind="drawing",
        license=license,
        tags=(*folders, *(word for word in keywords if "hash(" not in word.lower())),
        author=author if len(author) < 60 else "",
        columns={"style": "clip art"},
    )


def _first(pattern: str, text: str) -> str:
    found = re.search(pattern, text, re.S)
    return found.group(found.re.groups) if found else ""


def _plain(text: str) -> str:
    """Return a text without its mark-up, on one line."""
    without = re.sub(r"<[^>]*>", " ", html.unescape(html.unescape(text)))
    return re.sub(r"\s+", " ", without).strip()


def _file_title(stem: str) -> str:
    """Return the title in a file's name, without artist and number.

    >>> _file_title("red_apple_gerald_g._01")
    'red apple'
    """
    without = re.sub(r"(\.svg)?(_[a-z0-9.\-]+){0,3}_\d\d$", "", stem)
    return clean(re.sub(r"\d+$", "", without)) or clean(stem)


def _sentence(description: str) -> tuple[str, ...]:
    return (description[:160],) if len(description) > 4 else ()


def _draw(png: Path, svg: str) -> Image.Image:
    """Draw the PNG, for resvg refuses half of these old SVGs; the SVG where there is none."""
    if not png.is_file():
        return rasterise(svg)
    if png.stat().st_size > _PNG_LIMIT:
        raise UnusableError("file too large")
    opened = Image.open(png)
    if opened.width * opened.height > _PIXEL_LIMIT:
        raise UnusableError("too many pixels")
    image = opened.convert("RGBA")
    image.thumbnail((512, 512))
    return image
