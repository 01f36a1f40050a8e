"""Prompt lists in tables, such as CSV files from spreadsheet programs."""

import csv
import re
from collections.abc import Iterator, Sequence
from io import StringIO
from typing import Any

from vqclip.batch.entries import PROMPT, SEVERAL, Row, lines_of, option_name, row_of_value
from vqclip.errors import UsageError

_DECIMAL = re.compile(r"[+-]?\d*,\d+")
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(?:(?:,\d{3})+|(?:\.000)+)")


def table_rows(text: str, delimiter: str | None = None) -> Iterator[Row]:
    """Yield the rows of a table whose first non-empty row names the columns.

    delimiter: cell delimiter. Default: inferred from the first line.

    Raises:
        UsageError: no column is called ``prompt``, or two columns have the same name.
    """
    delimiter = delimiter or _delimiter(text)
    reader = csv.reader(StringIO(text, newline=""), delimiter=delimiter, strict=True)
    names: list[str] | None = None
    line = 1
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as broken:
            yield Row(line, error=f"cannot read the row: {broken}; check its quotes")
            return
        if cells is None:
            return
        if not any(cell.strip() for cell in cells):
            pass
        elif names is None:
            if not cells[0].lower().startswith(("#", "sep=")):
                names = _head(cells)
        else:
            yield _row_of_cells(line, names, cells)
        line = reader.line_num + 1


def _row_of_cells(line: int, names: Sequence[str], cells: Sequence[str]) -> Row:
    if len(cells) > len(names):
        error = (
            f"{len(cells)} cells, but the header has {len(names)}: "
            "put quotes around cells that contain commas"
        )
        return Row(line, error=error)
    filled = {name: cell for name, cell in zip(names, cells, strict=False) if cell.strip()}
    if "" in filled:
        return Row(
            line,
            error=f"{filled['']!r:.60} is in a column without a name: name the column, or clear it",
        )
    try:
        return row_of_value(line, {name: _plain(name, cell) for name, cell in filled.items()})
    except UsageError as error:
        return Row(line, error=str(error))


def _delimiter(text: str) -> str:
    """Detect the delimiter: a comma, a semicolon, a tab, a vertical bar or one set by ``sep=``."""
    head = next((line for line in lines_of(text) if line.strip() and line[0] != "#"), "")
    if special := re.fullmatch('"?sep=(.)"?', head, re.IGNORECASE):
        return special[1]
    unquoted = re.sub('"[^"]*"', "", head)
    return next((mark for mark in ",;\t|" if mark in unquoted), ",")


def _head(cells: Sequence[str]) -> list[str]:
    names = [cell.strip() for cell in cells]
    plain = [option_name(name) for name in names if name]
    if twice := next((name for name in plain if plain.count(name) > 1), None):
        raise UsageError(f"two columns in the list are named {twice}")
    if not any(name.endswith(PROMPT) for name in plain):
        raise UsageError(
            f"the list has no column {PROMPT!r}, only {', '.join(names)[:60]!r}: name the columns "
            "in the first row, such as prompt,steps"
        )
    return names


def _plain(name: str, cell: str) -> Any:
    """Convert a table cell to an option's value; ``yes`` means True, and ``0,5`` means 0.5."""
    option = option_name(name)
    if option in (PROMPT, "negative-prompt"):
        return cell
    if option not in SEVERAL and _THOUSANDS.fullmatch(cell.strip()):
        raise UsageError(
            f"{name}: {cell.strip()!r} is ambiguous: write it without a thousands separator"
        )
    if option not in SEVERAL and _DECIMAL.fullmatch(cell.strip()):
        return cell.strip().replace(",", ".")
    words = {"true": True, "yes": True, "false": False, "no": False}
    return words.get(cell.strip().lower(), cell)
