"""The command line, called as users call it."""

from pathlib import Path
from typing import Any
from unittest.mock import patch

import typer
from typer.testing import CliRunner, Result

from tests.conftest import leftovers
from vqclip.cli.app import app

_group: Any = typer.main.get_command(app)


def invoke(*words: str, **options: Any) -> Result:
    """Run the command line in this process; its commands are built once, which takes a while."""
    _group.is_listing = False  # left by --help
    with patch("typer.testing._get_command", lambda _: _group):
        return CliRunner().invoke(app, words, **options)


def vqclip(*words: str, code: int = 0) -> Result:
    result = invoke(*words)
    assert result.exit_code == code, (result.output, result.exception)
    return result


def refused(*words: str, code: int = 2) -> str:
    """Return the one line that an invalid call prints, and check that it leaves no files."""
    before = leftovers(Path())
    result = vqclip(*words, code=code)
    lines = result.stderr.strip().splitlines()
    assert result.stdout == ""
    assert len(lines) == 1
    assert leftovers(Path()) == before
    return lines[0]
