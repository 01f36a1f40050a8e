"""resume extends a finished run, even one from before a setting existed."""

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open
from safetensors.torch import save_file

from tests.cli.runner import refused, vqclip
from tests.conftest import leftovers
from vqclip.media.images import read_metadata

QUICK = ("--init", "random", "--size", "32", "--cutouts", "2", "--seed", "1")


@pytest.fixture(autouse=True)
def _old() -> None:
    vqclip("a fox", *QUICK, "--steps", "2", "--checkpoint", "-o", "fox.png")


def settings(name: str) -> dict[str, Any]:
    found: dict[str, Any] = read_metadata(Path(name))["settings"]
    return found


def test_a_checkpoint_from_before_the_prior_has_none() -> None:
    path = Path("fox.checkpoint.safetensors")
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["vqclip"])
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    del header["metadata"]["settings"]["prior"]
    save_file(tensors, path, {"vqclip": json.dumps(header)})
    vqclip("resume", "fox.png", "--steps", "3")
    assert settings("fox.png")["prior"] == 0


def test_a_finished_run_is_extended_or_refused() -> None:
    assert "is finished: to extend it, use --steps" in refused("resume", "fox.png")
    vqclip("resume", "fox.png", "--steps", "4", "-o", "more.png")
    assert settings("more.png")["steps"] == 4
    assert leftovers(Path()) == ["fox.checkpoint.safetensors", "fox.png", "more.png"]
