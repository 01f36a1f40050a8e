"""Reading prompt lists and expanding their ``{a,b}`` alternatives."""

import re
import sys
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from vqclip.batch.entries import Row
from vqclip.batch.formats import LIST_FORMATS, list_format
from vqclip.errors import UsageError, reason_of
from vqclip.files.environment import user_path
from vqclip.files.filetypes import why_no_list

_CHOICE = re.compile(r"(?<!\\)\{((?:[^{}\\]|\\.)*,(?:[^{}\\]|\\.)*)\}")
_COMMA = re.compile(r"(?<!\\),")
_ESCAPED = re.compile(r"\\([{},])")
MOST_JOBS = 100_000


def read_rows(source: str, kind: str | None = None) -> list[Row]:
    """Return the rows of a file, or of standard input (``-``).

    kind: one of :data:`LIST_FORMATS`. If None, the format is detected from the suffix or the text.

    Raises:
        UsageError: the file is missing, empty, or not text.
    """
    text = _text(source)
    suffix = "" if source == "-" else Path(source).suffix.lower()
    read = LIST_FORMATS[kind or list_format(suffix, text)]
    rows = list(islice((one for row in read(text) for one in expand(row)), MOST_JOBS + 1))
    if not rows:
        raise UsageError(f"{_name(source)} contains no prompt: write one per line")
    if len(rows) > MOST_JOBS:
        raise UsageError(f"{_name(source)} expands to more than {MOST_JOBS} rows")
    return rows


def _name(source: str) -> str:
    return "standard input" if source == "-" else source


def _text(source: str) -> str:
    try:
        data = sys.stdin.buffer.read() if source == "-" else user_path(source).read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read the list {source}: {reason_of(error)}") from None
    if other := why_no_list(data[:64]):
        raise UsageError(f"{_name(source)} {other}")
    wide = data.startswith((BOM_UTF16_LE, BOM_UTF16_BE))  # as saved by Windows programs
    try:
        text = data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:  # also UTF-32, and UTF-16 without its mark
        raise UsageError(
            f"{_name(source)} is not UTF-8 text: save the list as UTF-8 (or a table as 'CSV UTF-8')"
        )
    return text


def expand(row: Row) -> Iterator[Row]:
    r"""Yield a row for each combination of the row's alternatives, written as ``{red,green}``.

    The alternatives in the first pair of braces vary slowest. Braces without a comma stay
    unchanged. ``\{``, ``\}`` and ``\,`` stand for the literal characters.
    """
    if row.error is not None:
        yield row
        return
    for words in _expanded(row.words):
        yield replace(row, words=words)


def _expanded(words: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yield the expansions one by one, because their number can be huge."""
    if not words:
        yield ()
        return
    for first in _choices(words[0]):
        for rest in _expanded(words[1:]):
            yield (first, *rest)


def _choices(word: str) -> Iterator[str]:
    found = _CHOICE.search(word)
    if not found:
        yield _ESCAPED.sub(r"\1", word) if "{" in word or "}" in word else word
        return
    before, after = word[: found.start()], word[found.end() :]
    for middle in _COMMA.split(found[1]):
        yield from _choices(f"{before}{middle}{after}")


def parse_seeds(text: str) -> list[int]:
    """Parse seeds such as ``1-4`` or ``1,3,7-9``.

    Raises:
        UsageError: the text is malformed.
    """
    seeds: list[int] = []
    for part in text.split(","):
        found = re.fullmatch(r"\s*(\d+)(?:\s*(?:-|\.\.)\s*(\d+))?\s*", part)
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
        if not first <= last < first + MOST_JOBS:
            raise UsageError(f"cannot read the seeds {text!r}: write, for example, 1-4 or 1,3,7-9")
        seeds += range(first, last + 1)
    return list(dict.fromkeys(seeds))
