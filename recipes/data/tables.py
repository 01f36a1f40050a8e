"""Tables of images chosen from git repositories, ``chosen/OWNER+NAME.tsv``.

The first line names the columns; every other line is an image. Cells missing at the end of a line
are copied from the line above; a path without a folder is in the folder of the path above.
"""

from pathlib import Path

_FOLDER = Path(__file__).with_name("chosen")


def table_path(repository: str) -> Path:
    """Return the path of the table for a repository, ``owner/name``."""
    return _FOLDER / f"{repository.replace('/', '+')}.tsv"


def read_table(path: Path) -> list[dict[str, str]]:
    """Return the images in a table in order, each as a mapping from column to cell."""
    columns, *lines = (line.split("\t") for line in path.read_text(encoding="utf-8").splitlines())
    rows: list[dict[str, str]] = []
    cells = [""] * len(columns)
    for line in lines:
        folder = cells[0].rpartition("/")[0]
        cells = [*line, *cells[len(line) :]]
        if "/" not in cells[0]:
            cells[0] = f"{folder}/{cells[0]}"
        rows.append(dict(zip(columns, cells, strict=True)))
    return rows
