"""Contact sheets: labelled thumbnails of a batch, a hundred per page."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cache
from math import ceil, sqrt
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from vqclip.batch.jobs import Job
from vqclip.media.images import save_image

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

_SIDE, _LABEL, _GAP, _PAGE = 160, 30, 8, 100
# Pillow's default font has only Latin letters. These system fonts, given by file name, cover more.
_FONTS = (
    *("DejaVuSans.ttf", "NotoSans-Regular.ttf", "arial.ttf", "Arial.ttf"),
    *("NotoSansCJK-Regular.ttc", "Arial Unicode.ttf", "Hiragino Sans GB.ttc", "msyh.ttc"),
    *("YuGothR.ttc", "malgun.ttf"),
)
_POINTS = 11
_PAPER, _INK, _GREY = "#ffffff", "#202020", "#707070"


def sheet_path(folder: Path, page: int) -> Path:
    """Return the path of a page: ``contact-sheet.jpg``, ``contact-sheet-2.jpg`` and so on."""
    return folder / ("contact-sheet.jpg" if page == 1 else f"contact-sheet-{page}.jpg")


def write_sheets(folder: Path, jobs: Sequence[Job]) -> list[Path]:
    """Write contact sheets for ``jobs`` and return the paths of the sheets."""
    pages = [jobs[i : i + _PAGE] for i in range(0, len(jobs), _PAGE)]
    return [
        save_image(sheet(folder, page), sheet_path(folder, number), overwrite=True)
        for number, page in enumerate(pages, 1)
    ]


def sheet(folder: Path, jobs: Sequence[Job]) -> Image.Image:
    """Return a roughly square page of thumbnails."""
    columns = ceil(sqrt(len(jobs)))
    width, height = _SIDE + _GAP, _SIDE + _LABEL + _GAP
    page = Image.new(
        "RGB", (columns * width + _GAP, ceil(len(jobs) / columns) * height + _GAP), _PAPER
    )
    draw = ImageDraw.Draw(page)
    for number, job in enumerate(jobs):
        x, y = _GAP + number % columns * width, _GAP + number // columns * height
        thumbnail = _thumbnail(folder / job.picture)
        left, top = ((_SIDE - side) // 2 for side in thumbnail.size)
        page.paste(thumbnail, (x + left, y + top))
        font = font_for(job.prompt)
        lines = (_fitting(job.prompt, font), f"seed {job.config.seed}")
        for line, (text, ink) in enumerate(zip(lines, (_INK, _GREY), strict=True)):
            draw.text((x, y + _SIDE + 2 + 13 * line), text, ink, font)
    return page


def _thumbnail(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            return ImageOps.contain(image.convert("RGB"), (_SIDE, _SIDE))
    except OSError:
        return Image.new("RGB", (_SIDE, _SIDE), "#dddddd")


def font_for(text: str) -> Font:
    """Return the first label font that has every letter in ``text``, or else Pillow's default."""
    letters = frozenset(text) - frozenset(map(chr, range(128)))
    return next((font for font in _fonts() if _has(font, letters)), _fonts()[0])


@cache
def _fonts() -> list[Font]:
    fonts = [ImageFont.load_default(_POINTS)]
    for name in _FONTS:
        with suppress(OSError):  # not on this machine
            fonts.append(ImageFont.truetype(name, _POINTS))
    return fonts


def _has(font: Font, letters: Iterable[str]) -> bool:
    """Return whether the font has a glyph for every letter, rather than a placeholder box."""
    box = bytes(font.getmask("\uffff"))
    return all(letter.isspace() or bytes(font.getmask(letter)) != box for letter in letters)


def _fitting(text: str, font: Font) -> str:
    """Return as much of a line as fits below a thumbnail."""
    line = " ".join(text.split())
    return next(short for short in _shorter(line) if font.getlength(short) <= _SIDE)


def _shorter(line: str) -> Iterator[str]:
    line = line[:80]
    yield line
    for length in range(len(line) - 1, 0, -1):
        yield f"{line[:length].rstrip()}…"
    yield ""
