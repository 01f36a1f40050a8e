"""``vqclip doctor`` on the terminal and in scripts."""

import json
from collections.abc import Iterator

import pytest

from tests.cli.runner import vqclip
from vqclip.diagnostics import doctor
from vqclip.diagnostics.machine import Finding

FOUND = [
    Finding("python", "ok", "3.11"),
    Finding("[flow]", "note", "not installed", 'pip install "vqclip[flow]"'),
]
BROKEN = Finding("torch", "problem", "it is broken", "mend it")


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Finding]]:
    findings = list(FOUND)
    monkeypatch.setattr(doctor, "examine", lambda: iter(findings))
    return findings  # type: ignore[return-value]


def test_all_is_well(found: list[Finding]) -> None:
    lines = vqclip("doctor").stdout.splitlines()
    assert lines[0].split() == ["✓", "python", "3.11"]
    assert lines[1].split() == ["!", "[flow]", "not", "installed"]
    assert lines[2].strip() == '→ pip install "vqclip[flow]"'
    assert lines[3] == "✓ terminal     no terminal: --preview shows nothing"
    assert vqclip("doctor", "--quiet").stdout == ""


def test_problem_is_reported_with_its_fix(found: list[Finding]) -> None:
    found.append(BROKEN)
    result = vqclip("doctor", "--quiet", code=1)
    assert [line.split() for line in result.stdout.splitlines()] == [
        ["✗", "torch", "it", "is", "broken"],
        ["→", "mend", "it"],
    ]


def test_json_lines_are_printed(found: list[Finding]) -> None:
    found.append(BROKEN)
    lines = [json.loads(line) for line in vqclip("doctor", "--json", code=1).stdout.splitlines()]
    assert lines[2] == {
        "name": "torch",
        "state": "problem",
        "about": "it is broken",
        "fix": "mend it",
    }
    assert [line["name"] for line in lines] == ["python", "[flow]", "torch", "terminal"]
