"""Conversion of text, CSV, JSON Lines and YAML lists to command-line arguments.

A row holds the arguments of one ``vqclip`` command: a prompt and options. Every format uses the
command's own options, so a single parser validates all lists.
"""

import json
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import yaml

from vqclip.batch.entries import PROMPT, Row, lines_of, option_name, row_of_value, safely
from vqclip.batch.tables import table_rows
from vqclip.errors import CheckpointError, UsageError
from vqclip.files.safe_yaml import parse_yaml
from vqclip.registry import Registry

_OPTION = re.compile(r"(?:^|\s)(?=--[a-z]|-[a-z](?:\s|$))")  # start of the options in a line
_QUOTED = re.compile(r""""(?:[^"\\]|\\.)*"|'[^']*'""")
_KINDS = {".csv": "csv", ".tsv": "tsv", ".yaml": "yaml", ".yml": "yaml"}
_KINDS |= dict.fromkeys((".json", ".jsonl", ".ndjson"), "jsonl")


def list_format(suffix: str, text: str) -> str:
    """Return a list's format, detected from the suffix or the text.

    Standard input is JSON if its first line is a JSON object or the whole input is a JSON array. A
    .txt file may also be a table, because Excel's "Unicode Text" format is tab-separated.
    """
    first = lines_of(text.strip())[0].strip()
    cells = first.split("\t")
    if suffix in ("", ".txt") and len(cells) > 1 and PROMPT in map(option_name, cells):
        return "tsv"
    if not suffix:
        begins = _holds_json(first, dict) or _holds_json(text, list)
        return "jsonl" if begins else "text"
    return _KINDS.get(suffix, "text")


def _holds_json(text: str, kind: type) -> bool:
    try:
        return isinstance(json.loads(text), kind)
    except ValueError:
        return False


def _text_rows(text: str) -> Iterator[Row]:
    for number, line in enumerate(lines_of(text), 1):
        if (line := line.strip()) and not line.startswith("#"):
            yield safely(number, _words_of_line, line)


def _words_of_line(line: str) -> tuple[str, ...]:
    """Return the arguments in a line such as ``a red apple -n 300``; the prompt may be quoted."""
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


def _jsonl_rows(text: str) -> Iterator[Row]:
    if text.lstrip().startswith("["):
        yield from _array_rows(text)
        return
    for number, line in enumerate(lines_of(text), 1):
        if (line := line.strip()) and not line.startswith("#"):
            try:
                yield row_of_value(number, json.loads(line))
            except json.JSONDecodeError as error:
                yield Row(number, error=f"not JSON: {error.msg} at character {error.pos + 1}")


def _array_rows(text: str) -> Iterator[Row]:
    """Yield the entries of a JSON array, each with the number of its first line."""
    try:
        json.loads(text)
    except ValueError as error:
        raise UsageError(f"the list is not JSON: {error}") from None
    decoder, start = json.JSONDecoder(), text.index("[") + 1
    while text[start] != "]":
        if text[start] in " \t\r\n,":
            start += 1
            continue
        value, end = decoder.raw_decode(text, start)
        yield row_of_value(len(lines_of(text[:start])), value)
        start = end


def _yaml_rows(text: str) -> Iterator[Row]:
    try:
        values = parse_yaml(text, Path("the list"))
    except CheckpointError as error:
        raise UsageError(str(error).replace("; use the model's config", "")) from None
    node = yaml.compose(text, yaml.SafeLoader)
    if not isinstance(values, list) or not isinstance(node, yaml.SequenceNode):
        raise UsageError("a YAML list must have one entry per row, such as: - prompt: a red apple")
    for value, entry in zip(values, node.value, strict=True):
        yield row_of_value(entry.start_mark.line + 1, value)


Reader = Callable[[str], Iterator[Row]]

LIST_FORMATS: Registry[Reader] = Registry(
    "list format",
    {
        "text": _text_rows,
        "csv": table_rows,
        "tsv": lambda text: table_rows(text, "\t"),
        "jsonl": _jsonl_rows,
        "yaml": _yaml_rows,
    },
)
