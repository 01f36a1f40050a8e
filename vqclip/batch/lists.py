"""Lists of prompts: text, CSV, JSON Lines and YAML to rows of words, as a shell would give them.

A row is what stands behind ``vqclip``: a prompt and options. Whatever the format, its options are
the command's own, so that one parser judges them all.
"""

import csv
import json
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from io import StringIO
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from vqclip.errors import CheckpointError, UsageError
from vqclip.registry import Registry
from vqclip.yamlfiles import parse_yaml

_OPTION = re.compile(r"(?:^|\s)(?=--[a-z]|-[a-z](?:\s|$))")  # where the options of a line begin
_CHOICE = re.compile(r"(?<!\\)\{((?:[^{}\\]|\\.)*,(?:[^{}\\]|\\.)*)\}")
_COMMA = re.compile(r"(?<!\\),")
_ESCAPED = re.compile(r"\\([{},])")
_KINDS = {".csv": "csv", ".tsv": "tsv", ".yaml": "yaml", ".yml": "yaml"}
_KINDS |= dict.fromkeys((".json", ".jsonl", ".ndjson"), "jsonl")
MOST_JOBS = 100_000


@dataclass(frozen=True)
class Row:
    """One entry of a list.

    line: where it stands, counted from 1; of a CSV or YAML, the line where it begins.
    words: options and prompt, as a shell would give them to ``vqclip``.
    error: why it cannot be read, if so.
    """

    line: int
    words: tuple[str, ...] = ()
    error: str | None = None


def read_rows(source: str) -> list[Row]:
    """Return the rows of a file, its format by its suffix, or of standard input (``-``).

    Raises:
        UsageError: no such file, not text, or nothing in it.
    """
    text = _text(source)
    suffix = "" if source == "-" else Path(source).suffix.lower()
    rows = [one for row in FORMATS[_kind(suffix, text)](text) for one in expand(row)]
    if not rows:
        raise UsageError(f"{_name(source)} holds no prompt: write one a line")
    if len(rows) > MOST_JOBS:
        raise UsageError(f"{_name(source)} unfolds to more than {MOST_JOBS} rows")
    return rows


def _name(source: str) -> str:
    return "standard input" if source == "-" else source


def _text(source: str) -> str:
    try:
        data = sys.stdin.buffer.read() if source == "-" else Path(source).expanduser().read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UsageError(f"cannot read the list {source}: {reason}") from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"{_name(source)} is not text in UTF-8: save the list as that") from None


def _kind(suffix: str, text: str) -> str:
    """Return the format; standard input is JSON Lines where it begins like that, else text."""
    if not suffix:
        first = text.strip().partition("\n")[0].strip()
        return "jsonl" if first.startswith('{"') and first.endswith("}") else "text"
    return _KINDS.get(suffix, "text")


def _text_rows(text: str) -> Iterator[Row]:
    for number, line in enumerate(text.splitlines(), 1):
        if (line := line.strip()) and not line.startswith("#"):
            yield _safely(number, _words_of_line, line)


def _words_of_line(line: str) -> tuple[str, ...]:
    """Return the words of ``a red apple --steps 300``; the prompt needs no quotes, but may."""
    if line[0] in "\"'":
        words = shlex.split(line)
        return (*words[1:], "--", words[0])
    start = _OPTION.search(line)
    prompt = line[: start.start()].strip() if start else line
    options = shlex.split(line[start.end() :]) if start else []
    return (*options, *(("--", prompt) if prompt else ()))


def _csv_rows(text: str, delimiter: str = ",") -> Iterator[Row]:
    reader = csv.reader(StringIO(text, newline=""), delimiter=delimiter, strict=True)
    names: list[str] | None = None
    line = 1
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            yield Row(line, error=f"cannot read the row: {error}")
            return
        if cells is None:
            return
        if not any(cell.strip() for cell in cells) or cells[0].lstrip().startswith("#"):
            pass
        elif names is None:
            names = [cell.strip() for cell in cells]
        else:
            yield _safely(line, _words_of_cells, (names, cells))
        line = reader.line_num + 1


def _words_of_cells(row: tuple[list[str], list[str]]) -> tuple[str, ...]:
    names, cells = row
    if len(cells) > len(names):
        raise UsageError(f"{len(cells)} cells, but the head has {len(names)}: quote the commas")
    values = zip(names, cells, strict=False)
    return words_of_mapping({name: _plain(cell) for name, cell in values if cell.strip()})


def _plain(cell: str) -> Any:
    """A table knows no booleans but these words."""
    return {"true": True, "yes": True, "false": False, "no": False}.get(cell.strip().lower(), cell)


def _jsonl_rows(text: str) -> Iterator[Row]:
    if text.lstrip().startswith("["):
        yield from _list_rows(json.loads(text) if _is_json(text) else [])
        return
    for number, line in enumerate(text.splitlines(), 1):
        if (line := line.strip()) and not line.startswith("#"):
            yield _safely(number, _words_of_json, line)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError as error:
        raise UsageError(f"the list is no JSON: {error}") from None
    return True


def _list_rows(values: Any) -> Iterator[Row]:
    for number, value in enumerate(values, 1):
        yield _safely(number, words_of_value, value)


def _words_of_json(line: str) -> tuple[str, ...]:
    try:
        return words_of_value(json.loads(line))
    except json.JSONDecodeError as error:
        raise UsageError(f"not JSON: {error.msg} at character {error.pos + 1}") from None


def _yaml_rows(text: str) -> Iterator[Row]:
    try:
        values = parse_yaml(text, Path("the list"))
    except CheckpointError as error:
        raise UsageError(str(error).replace("; give the model's config", "")) from None
    node = yaml.compose(text, yaml.SafeLoader)
    if not isinstance(values, list) or not isinstance(node, yaml.SequenceNode):
        raise UsageError("a YAML list has a row an entry: - prompt: a red apple")
    for value, entry in zip(values, node.value, strict=True):
        yield _safely(entry.start_mark.line + 1, words_of_value, value)


def words_of_value(value: Any) -> tuple[str, ...]:
    """Return the words of a prompt, or of a mapping of ``prompt`` and options.

    Raises:
        UsageError: it is neither.
    """
    if isinstance(value, str):
        return ("--", value)
    if not isinstance(value, Mapping):
        raise UsageError('a row is a prompt, or a mapping such as {"prompt": "…", "steps": 50}')
    return words_of_mapping(value)


def words_of_mapping(values: Mapping[Any, Any]) -> tuple[str, ...]:
    """Return ``{"prompt": "a", "init_weight": 5}`` as ``--init-weight=5 -- a``.

    Raises:
        UsageError: a value that no option takes.
    """
    options: list[str] = []
    prompts: list[str] = []
    for name, value in values.items():
        each = [_word(name, one) for one in (value if isinstance(value, list) else [value])]
        if name == "prompt":
            prompts += [word for word in each if isinstance(word, str)]
            continue
        flag = f"--{str(name).strip().lstrip('-').replace('_', '-')}"
        for word in each:
            options += [flag] if word is True else [f"{flag}={word}"] if word is not None else []
    return (*options, *(("--", *prompts) if prompts else ()))


def _word(name: Any, value: Any) -> str | bool | None:
    if value is None or value is False or value == "":
        return None
    if value is True or isinstance(value, str):
        return value
    if isinstance(value, int | float):
        return repr(value)
    raise UsageError(f"{name}: a {type(value).__name__} is no value of an option")


def _safely(line: int, words: Callable[[Any], tuple[str, ...]], value: Any) -> Row:
    try:
        return Row(line, words(value))
    except (UsageError, ValueError) as error:
        return Row(line, error=str(error))


def expand(row: Row) -> Iterator[Row]:
    r"""Yield a row for each choice in ``{red,green} apple``; the first choice changes slowest.

    Braces without a comma stay as they are, and ``\{``, ``\}`` and ``\,`` are the characters.
    """
    if row.error is not None:
        yield row
        return
    for words in product(*map(_choices, row.words)):
        yield Row(row.line, words)


def _choices(word: str) -> list[str]:
    found = _CHOICE.search(word)
    if not found:
        return [_ESCAPED.sub(r"\1", word) if "{" in word or "}" in word else word]
    before, after = word[: found.start()], word[found.end() :]
    return [
        choice
        for middle in _COMMA.split(found[1])
        for choice in _choices(f"{before}{middle}{after}")
    ]


Reader = Callable[[str], Iterator[Row]]

FORMATS: Registry[Reader] = Registry(
    "list format",
    {
        "text": _text_rows,
        "csv": _csv_rows,
        "tsv": lambda text: _csv_rows(text, "\t"),
        "jsonl": _jsonl_rows,
        "yaml": _yaml_rows,
    },
)


def parse_seeds(text: str) -> list[int]:
    """Read ``1-4`` or ``1,3,7-9``.

    Raises:
        UsageError: anything else.
    """
    seeds: list[int] = []
    for part in text.split(","):
        found = re.fullmatch(r"\s*(\d+)(?:\s*(?:-|\.\.)\s*(\d+))?\s*", part)
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
        if not first <= last < first + MOST_JOBS:
            raise UsageError(f"cannot read the seeds {text!r}: write 1-4 or 1,3,7-9")
        seeds += range(first, last + 1)
    return list(dict.fromkeys(seeds))
