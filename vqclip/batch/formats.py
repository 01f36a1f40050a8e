"""Conversion of text, CSV, JSON Lines and YAML lists to command-line words.

A row holds the arguments of one ``vqclip`` command: a prompt and options. Every format uses the
command's own options, so that one parser validates them all.
"""

import csv
import json
import re
import shlex
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import yaml

from vqclip.batch.entries import PROMPT, Row, lines_of, option_name, row_of_value, safely
from vqclip.errors import CheckpointError, UsageError
from vqclip.files.safe_yaml import parse_yaml
from vqclip.registry import Registry

_OPTION = re.compile(r"(?:^|\s)(?=--[a-z]|-[a-z](?:\s|$))")  # start of the options in a line
_QUOTED = re.compile(r""""(?:[^"\\]|\\.)*"|'[^']*'""")
_KINDS = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
_KINDS |= dict.fromkeys((".yaml", ".yml", ".json"), "yaml")  # JSON is YAML
_SWITCHES = {"true": True, "yes": True, "false": False, "no": False}


def list_format(suffix: str, text: str) -> str:
    """Return the format of a list; standard input is JSON Lines if it starts so, else text."""
    if suffix:
        return _KINDS.get(suffix, "text")
    try:
        return "jsonl" if isinstance(json.loads(lines_of(text.strip())[0]), dict) else "text"
    except ValueError:
        return "text"


def _text_rows(text: str) -> Iterator[Row]:
    for number, line in enumerate(lines_of(text), 1):
        if (line := line.strip()) and not line.startswith("#"):
            yield safely(number, _words_of_line, line)


def _words_of_line(line: str) -> tuple[str, ...]:
    """Return the words of ``a red apple --steps 300``; quotes around the prompt are optional."""
    quoted = _QUOTED.match(line)
    dashed = re.match(r"-(?!-[a-z])", line)  # a row starts with its prompt or with --options
    if quoted and re.match(r"\s+-|\s*$", line[quoted.end() :]):
        prompt, start = shlex.split(quoted[0])[0], quoted.end()
    else:
        option = _OPTION.search(line, 1 if dashed else 0)
        start = option.start() if option else len(line)
        prompt = line[:start].strip()
    options = shlex.split(line[start:], comments=True)
    return (*options, *(("--", prompt) if prompt else ()))


def _table_rows(text: str, delimiter: str | None = None) -> Iterator[Row]:
    """Yield the rows of a table whose first row names the columns.

    delimiter: delimiter of the cells. Default: a comma or, if the first row has none, a semicolon.
    """
    head = lines_of(text)[0]
    delimiter = delimiter or (";" if ";" in head and "," not in head else ",")
    reader = csv.reader(StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = 1
    try:
        names = next(reader, [])
        if PROMPT not in map(option_name, names):
            raise UsageError(
                f"the list has no column {PROMPT!r}, but {', '.join(names)[:60]!r}: its first row "
                "must name the columns, such as prompt,steps"
            )
        line = reader.line_num + 1
        for cells in reader:
            if any(cells):
                yield _row_of_cells(line, names, cells)
            line = reader.line_num + 1
    except csv.Error as error:
        yield Row(line, error=f"cannot read the row: {error}; check its quotes")


def _row_of_cells(line: int, names: list[str], cells: list[str]) -> Row:
    if len(cells) > len(names):
        error = (
            f"{len(cells)} cells, but the header has {len(names)}: "
            "put quotes around cells that contain commas"
        )
        return Row(line, error=error)
    filled = ((name, cell) for name, cell in zip(names, cells, strict=False) if cell.strip())
    return row_of_value(line, {name: _value(name, cell) for name, cell in filled})


def _value(name: str, cell: str) -> str | bool:
    """Return the value of a table cell, in which switches are words."""
    is_prompt = option_name(name) == PROMPT
    return cell if is_prompt else _SWITCHES.get(cell.strip().lower(), cell)


def _jsonl_rows(text: str) -> Iterator[Row]:
    for number, line in enumerate(lines_of(text), 1):
        if (line := line.strip()) and not line.startswith("#"):
            try:
                yield row_of_value(number, json.loads(line))
            except json.JSONDecodeError as error:
                yield Row(number, error=f"not JSON: {error.msg} at character {error.pos + 1}")


def _yaml_rows(text: str) -> Iterator[Row]:
    try:
        values: Any = parse_yaml(text, Path("the list"))
    except CheckpointError as error:
        raise UsageError(str(error).replace("; use the model's config", "")) from None
    node = yaml.compose(text, yaml.SafeLoader)
    if not isinstance(values, list) or not isinstance(node, yaml.SequenceNode):
        raise UsageError("a YAML list has one entry per row, such as: - prompt: a red apple")
    for value, entry in zip(values, node.value, strict=True):
        yield row_of_value(entry.start_mark.line + 1, value)


Reader = Callable[[str], Iterator[Row]]

LIST_FORMATS: Registry[Reader] = Registry(
    "list format",
    {
        "text": _text_rows,
        "csv": _table_rows,
        "tsv": lambda text: _table_rows(text, "\t"),
        "jsonl": _jsonl_rows,
        "yaml": _yaml_rows,
    },
)
