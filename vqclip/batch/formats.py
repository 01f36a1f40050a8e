"""Conversion of text, CSV, JSON Lines and YAML lists to command-line words.

A row holds the arguments of one ``vqclip`` command: a prompt and options. In every format the
options are those of the command, so that one parser validates them all.
"""

import csv
import json
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import Any

import yaml

from vqclip.config.prompts import NEGATIVE_WEIGHT, Prompt
from vqclip.errors import CheckpointError, UsageError
from vqclip.files.safe_yaml import parse_yaml
from vqclip.registry import Registry

_OPTION = re.compile(r"(?:^|\s)(?=--[a-z]|-[a-z](?:\s|$))")  # start of the options in a line
_DECIMAL = re.compile(r"[+-]?\d*,\d+")
_QUOTED = re.compile(r""""(?:[^"\\]|\\.)*"|'[^']*'""")
_JOINED = {"size": "x", "seeds": ","}  # single-value options that JSON may give as a list
_KINDS = {".csv": "csv", ".tsv": "tsv", ".yaml": "yaml", ".yml": "yaml"}
_KINDS |= dict.fromkeys((".json", ".jsonl", ".ndjson"), "jsonl")


@dataclass(frozen=True)
class Row:
    """One entry of a list.

    line: line number of the row, from 1; for a row of several lines in CSV or YAML, its first line.
    words: options and prompt, as a shell would pass them to ``vqclip``.
    off: options that the row turns off, even if they are set for all rows.
    error: why the row cannot be read, if it cannot.
    """

    line: int
    words: tuple[str, ...] = ()
    off: tuple[str, ...] = ()
    error: str | None = None


def list_format(suffix: str, text: str) -> str:
    """Return the format of a list; standard input is JSON if it starts as JSON, else text."""
    if not suffix:
        first = _lines(text.strip())[0].strip()
        begins = _holds_json(first, dict) or _holds_json(text, list)
        return "jsonl" if begins else "text"
    return _KINDS.get(suffix, "text")


def _holds_json(text: str, kind: type) -> bool:
    try:
        return isinstance(json.loads(text), kind)
    except ValueError:
        return False


def _lines(text: str) -> list[str]:
    """Return the lines as editors count them; ``splitlines`` also splits at rare characters."""
    return re.split(r"\r\n|\r|\n", text)


def _text_rows(text: str) -> Iterator[Row]:
    for number, line in enumerate(_lines(text), 1):
        if (line := line.strip()) and not line.startswith("#"):
            yield _safely(number, _words_of_line, line)


def _words_of_line(line: str) -> tuple[str, ...]:
    """Return the words of ``a red apple --steps 300``; quotes around the prompt are optional."""
    quoted = _QUOTED.match(line)
    dashed = re.match(r"-(?!-[a-z])", line)  # a row starts with its prompt, or with --options
    if quoted and re.match(r"\s+-|\s*$", line[quoted.end() :]):
        prompt, start = shlex.split(quoted[0])[0], quoted.end()
    else:
        option = _OPTION.search(line, 1 if dashed else 0)
        start = option.start() if option else len(line)
        prompt = line[:start].strip()
    options = shlex.split(line[start:], comments=True)
    return (*options, *(("--", prompt) if prompt else ()))


def _csv_rows(text: str, delimiter: str | None = None) -> Iterator[Row]:
    delimiter = delimiter or _delimiter(text)
    reader = csv.reader(StringIO(text, newline=""), delimiter=delimiter, strict=True)
    names: list[str] | None = None
    line = 1
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as broken:
            yield Row(line, error=f"cannot read the row: {broken}")
            return
        if cells is None:
            return
        if not any(cell.strip() for cell in cells):
            pass
        elif names is None:
            if not cells[0].startswith(("#", "sep=")):
                names = _head(cells)
        elif len(cells) > len(names):
            error = f"{len(cells)} cells, but the head has {len(names)}: quote the commas"
            yield Row(line, error=error)
        else:
            values = zip(names, cells, strict=False)
            filled = {name: _plain(name, cell) for name, cell in values if cell.strip()}
            yield _row_of_value(line, filled)
        line = reader.line_num + 1


def _delimiter(text: str) -> str:
    """Return the delimiter of cells: a comma, a semicolon (with decimal commas), or a tab."""
    head = next((line for line in _lines(text) if line.strip() and line[0] != "#"), "")
    if head.startswith("sep=") and len(head) == len("sep=;"):
        return head[-1]
    return next((mark for mark in ",;\t" if mark in head), ",")


def _head(cells: Sequence[str]) -> list[str]:
    names = [cell.strip() for cell in cells]
    plain = [_option_name(name) for name in names if name]
    if twice := next((name for name in plain if plain.count(name) > 1), None):
        raise UsageError(f"two columns of the list are called {twice}")
    return names


def _plain(name: str, cell: str) -> Any:
    """Convert a table cell, in which booleans are words and 0.5 may be written as 0,5."""
    option = _option_name(name)
    if option in ("prompt", "negative-prompt"):
        return cell
    if option not in _JOINED and _DECIMAL.fullmatch(cell.strip()):
        return cell.strip().replace(",", ".")
    words = {"true": True, "yes": True, "false": False, "no": False}
    return words.get(cell.strip().lower(), cell)


def _jsonl_rows(text: str) -> Iterator[Row]:
    if text.lstrip().startswith("["):
        yield from _array_rows(text)
        return
    for number, line in enumerate(_lines(text), 1):
        if (line := line.strip()) and not line.startswith("#"):
            try:
                yield _row_of_value(number, json.loads(line))
            except json.JSONDecodeError as error:
                yield Row(number, error=f"not JSON: {error.msg} at character {error.pos + 1}")


def _array_rows(text: str) -> Iterator[Row]:
    """Yield the entries of a JSON array, each with its first line number."""
    try:
        json.loads(text)
    except ValueError as error:
        raise UsageError(f"the list is not JSON: {error}") from None
    decoder, end = json.JSONDecoder(), text.index("[") + 1
    while (start := _skip(text, end)) < len(text) and text[start] != "]":
        value, end = decoder.raw_decode(text, start)
        yield _row_of_value(len(_lines(text[:start])), value)


def _skip(text: str, position: int) -> int:
    """Return the position of the next entry in an array, or of the array's end."""
    while position < len(text) and text[position] in " \t\r\n,":
        position += 1
    return position


def _yaml_rows(text: str) -> Iterator[Row]:
    try:
        values = parse_yaml(text, Path("the list"))
    except CheckpointError as error:
        raise UsageError(str(error).replace("; give the model's config", "")) from None
    node = yaml.compose(text, yaml.SafeLoader)
    if not isinstance(values, list) or not isinstance(node, yaml.SequenceNode):
        raise UsageError("a YAML list has one entry per row, such as: - prompt: a red apple")
    for value, entry in zip(values, node.value, strict=True):
        yield _row_of_value(entry.start_mark.line + 1, value)


def _row_of_value(line: int, value: Any) -> Row:
    return replace(_safely(line, words_of_value, value), off=_off(value))


def _off(values: Any) -> tuple[str, ...]:
    """Return the options that a row turns off."""
    items = values.items() if isinstance(values, Mapping) else ()
    return tuple(_option_name(name).replace("-", "_") for name, value in items if value is False)


def _option_name(name: Any) -> str:
    """Return ``init-weight`` for a column called ``Init_Weight`` or ``--init-weight``."""
    return re.sub(r"[\s_]+", "-", str(name).strip().lstrip("-").lower())


def words_of_value(value: Any) -> tuple[str, ...]:
    """Return the command-line words for a prompt, or for a mapping of ``prompt`` and options.

    Raises:
        UsageError: the value is neither.
    """
    if isinstance(value, str):
        return ("--", value)
    if not isinstance(value, Mapping):
        raise UsageError('a row must be a prompt or a mapping such as {"prompt": "…", "steps": 50}')
    return words_of_mapping(value)


def words_of_mapping(values: Mapping[Any, Any]) -> tuple[str, ...]:
    """Return ``{"prompt": "a", "init_weight": 5}`` as ``--init-weight=5 -- a``.

    Raises:
        UsageError: a value is of a type that no option accepts.
    """
    options: list[str] = []
    prompts: list[str] = []
    for name, value in values.items():
        option = _option_name(name)
        if option in _JOINED and isinstance(value, list):
            value = _JOINED[option].join(map(str, value))
        each = [_word(name, one) for one in (value if isinstance(value, list) else [value])]
        if option in ("prompt", "negative-prompt"):
            texts = [word for word in each if isinstance(word, str)]
            prompts += texts if option == "prompt" else map(_negative, texts)
            continue
        flag = f"--{option}"
        for word in each:
            options += [flag] if word is True else [f"{flag}={word}"] if word is not None else []
    return (*options, *(("--", *prompts) if prompts else ()))


def _negative(text: str) -> str:
    """Return ``text`` as a negative prompt, for a column that tables of other programs have."""
    return str(Prompt(text.strip(), NEGATIVE_WEIGHT))


def _word(name: Any, value: Any) -> str | bool | None:
    if value is None or value is False or value == "":
        return None
    if value is True or isinstance(value, str):
        return value
    if isinstance(value, int | float):
        return repr(value)
    raise UsageError(f"{name}: a {type(value).__name__} cannot be the value of an option")


def _safely(line: int, words: Callable[[Any], tuple[str, ...]], value: Any) -> Row:
    try:
        row = Row(line, words(value))
        "".join(row.words).encode()
    except UnicodeEncodeError as error:
        return Row(line, error=f"half a character, \\u{ord(error.object[error.start]):04x}")
    except (UsageError, ValueError) as error:
        return Row(line, error=str(error))
    return row


Reader = Callable[[str], Iterator[Row]]

LIST_FORMATS: Registry[Reader] = Registry(
    "list format",
    {
        "text": _text_rows,
        "csv": _csv_rows,
        "tsv": lambda text: _csv_rows(text, "\t"),
        "jsonl": _jsonl_rows,
        "yaml": _yaml_rows,
    },
)
