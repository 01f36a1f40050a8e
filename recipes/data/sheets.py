"""Contact sheets, which show the actual contents of a source."""

import io
import json
import zipfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from recipes.data.pictures import PALETTE, SIZE

_COLUMNS, _ROWS, _LINE = 10, 6, 14


def write_sheets(folder: Path) -> list[Path]:
    """Write ``sheets/SOURCE.png`` with 60 evenly spaced images per source; return the paths."""
    sources = defaultdict(list)
    for line in (folder / "captions.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        sources[row["source"]].append(row)
    (folder / "sheets").mkdir(exist_ok=True)
    written = []
    for source, rows in sources.items():
        written.append(folder / "sheets" / f"{source}.png")
        sheet(folder, rows).save(written[-1])
    return written


def sheet(folder: Path, rows: Sequence[dict[str, Any]]) -> Image.Image:
    """Return a sheet of evenly spaced images on their backgrounds, with their captions."""
    count = min(len(rows), _COLUMNS * _ROWS)
    size = (_COLUMNS * SIZE, -(-count // _COLUMNS) * (SIZE + _LINE))
    page = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(page)
    for place in range(count):
        row = rows[place * len(rows) // count]
        down, right = divmod(place, _COLUMNS)
        corner = (right * SIZE, down * (SIZE + _LINE))
        page.paste(_shown(folder, row), corner)
        pen.text((corner[0] + 2, corner[1] + SIZE + 1), row["text"][0][:20], fill="black")
    return page


def _shown(folder: Path, row: dict[str, Any]) -> Image.Image:
    with zipfile.ZipFile(folder / row["shard"]) as shard:
        image = Image.open(io.BytesIO(shard.read(row["file"])))
    if not row["alpha"]:
        return image.convert("RGB")
    ground = Image.new("RGB", image.size, PALETTE[row["bg"]])
    ground.paste(image, (0, 0), image)
    return ground
