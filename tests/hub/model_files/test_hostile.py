"""Every reader refuses hostile and damaged files in one line, quickly and with little memory."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.hub.model_files import hostile

ROOT = Path(__file__).parents[3]
WAYS = ("convert", "load_vqgan", "command")
_SECONDS, _BYTES = 8, 2e9  # processor time; memory, including 0.6 GB for torch


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Any]:
    """Read all files in a separate process, so that its memory can be measured."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [sys.executable, "-m", "tests.hub.model_files.hostile"],
        cwd=tmp_path_factory.mktemp("hostile"),
        env=environment,
        capture_output=True,
        text=True,
        timeout=1800,
    )
    assert run.returncode == 0, run.stderr
    lines = map(json.loads, run.stdout.splitlines())
    return {(name, way): answer for name, way, *answer in lines}


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", hostile.CASES)
def test_refused(answers: dict[tuple[str, str], Any], name: str, way: str) -> None:
    said, seconds, peak, left = answers[name, way]
    assert re.search(hostile.CASES[name][1], said), said
    assert "\n" not in said
    assert said.startswith("vqclip: error: ") == (way == "command")
    assert len(said) < 700
    assert seconds < _SECONDS
    assert peak < _BYTES
    assert left == []


def test_there_are_enough() -> None:
    assert len(hostile.CASES) > 70
