"""The command line, called as users call it."""

from pathlib import Path

from typer.testing import CliRunner, Result

from tests.conftest import leftovers
from vqclip.cli.app import app


def vqclip(*words: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, list(words))
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
