"""Phrases that read like a translation stay out of help, errors, README, docs and docstrings."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from tests.test_architecture import nodes_of
from vqclip.cli.app import app

ROOT = Path(__file__).parents[1]
PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "weights/README.md",
    "recipes/README.md",
    "benchmarks/RESULTS.md",
    *sorted(p.relative_to(ROOT) for p in ROOT.glob("docs/**/*.md")),
]
SOURCES = sorted((ROOT / "vqclip").rglob("*.py"))
BANNED = {  # phrase: replacement
    r"go(es)? on( |$|[,.:;])(?!disk)": "continue, resume",
    r"gone on with": "continued",
    r"likeliest": "most likely",
    r"thrice": "three times",
    r"anew": "again",
    r"likewise": "the same",
    r"unasked": "without asking",
    r"(comes?|came|brings?|brought) along": "is included, contains",
    r"(is|are|be|was) no (file|image|video|number|text|checkpoint|folder|model)s?": "is not a",
    r"(is|are|was|were) told (of|by|in|with)": "reported, called with",
    r"asked for": "requested",
    r"mend(s|ed)?": "fix, repair",
    r"half[- ](fetched|done|written)": "unfinished",
    r"somebody else('s)?": "another process, another user",
    r"nobody": "no one, or name the thing",
    r"pictures?": "image",
    r"in all(?= ?[,.;:)]|$)": "in total",
    r"repeat for several": "may be repeated",
    r"embedded (models?|VQGAN|CLIP|transformer|weights)": "built-in",
    r"thus|hence|namely": "so, therefore, or nothing",
    r"for instance": "for example",
    r"in place of": "instead of",
    r"belongs? to (no|none)": "does not belong to any",
    r"none is left out": "all are shown",
    r"at the peak": "peak memory, up to",
    r"films?": "video",
    r"fetch(es|ed|ing)?": "download",
}
RULE = re.compile(r"\b(" + "|".join(f"(?:{phrase})" for phrase in BANNED) + r")", re.IGNORECASE)


def docstrings(path: Path) -> Iterator[str]:
    for node in nodes_of(path):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            yield ast.get_docstring(node) or ""


def errors(path: Path) -> Iterator[str]:
    """Yield the texts in the raise statements of a module."""
    for node in nodes_of(path):
        if isinstance(node, ast.Raise):
            texts = [part.value for part in ast.walk(node) if isinstance(part, ast.Constant)]
            yield " ".join(text for text in texts if isinstance(text, str))


def commands(group: Any) -> Iterator[Any]:
    yield group
    for command in getattr(group, "commands", {}).values():
        yield from commands(command)


def helps(command: Any) -> str:
    texts = [command.help or "", *(getattr(param, "help", None) or "" for param in command.params)]
    return "\n".join(texts)


def prose(text: str) -> str:
    """Return ``text`` without code: text in backticks, examples and names."""
    text = re.sub(r"(?ms)^ *(```|~~~).*?^ *\1", "", text)
    text = re.sub(r"``[^`]*``|`[^`]*`|:\w+:`[^`]*`|\]\([^)]*\)", "", text)
    return re.sub(r"(?m)^ *(>>>|vqclip|pip) .*|^ *[\w, ]+: |\S*[/_=]\S*", "", text)


def found(text: str) -> list[str]:
    return sorted({match[0] for match in RULE.finditer(prose(text))})


def test_rule_finds_banned_phrases() -> None:
    assert found("Goes on where it was; the likeliest picture.") == [
        "Goes on ",
        "likeliest",
        "picture",
    ]
    assert found("`fetch` and ``films`` are names, as is vqclip/picture_path") == []


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_pages(page: Path) -> None:
    assert found((ROOT / page).read_text(encoding="utf-8")) == []


def test_help() -> None:
    texts = {c.name: found(helps(c)) for c in commands(typer.main.get_command(app))}
    assert {name: words for name, words in texts.items() if words} == {}


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_docstrings_and_errors(path: Path) -> None:
    texts = [*docstrings(path), *errors(path)]
    assert [words for text in texts if (words := found(text))] == []
