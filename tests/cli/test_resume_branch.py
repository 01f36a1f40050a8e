"""resume with other settings starts a new run from the checkpoint and keeps the old run."""

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


def test_new_run_starts_from_another_run_s_state() -> None:
    before = Path("fox.checkpoint.safetensors").read_bytes(), Path("fox.png").read_bytes()
    told = vqclip("resume", "fox.png", "--steps", "4", "--lr", "0.5", "--prompt", "a dog").stderr
    assert (
        "starting a new run from step 2 of fox.checkpoint.safetensors, which writes fox-2.png"
        in told
    )
    assert before == (Path("fox.checkpoint.safetensors").read_bytes(), Path("fox.png").read_bytes())
    recorded = read_metadata(Path("fox-2.png"))
    assert recorded["prompt"] == "a dog"
    assert recorded["continued_from"] == {"step": 2, "prompt": "a fox", "learning_rate": 0.1}
    assert (settings("fox-2.png")["learning_rate"], settings("fox-2.png")["steps"]) == (0.5, 4)
    vqclip("resume", "fox.png", "--steps", "4", "-o", "plain.png")
    assert Path("plain.png").read_bytes() != Path("fox-2.png").read_bytes()
    assert settings("plain.png")["learning_rate"] == 0.1


def test_image_without_a_checkpoint_is_repeated_instead() -> None:
    Path("fox.checkpoint.safetensors").unlink()
    told = refused("resume", "fox.png")
    assert "no such checkpoint: fox.checkpoint.safetensors; fox.png was made without" in told
    assert told.endswith("to repeat the run, use vqclip again fox.png")
    assert refused("resume", "cat.png").endswith("no such checkpoint: cat.checkpoint.safetensors")
    Path("cat.png").write_text("not an image")
    assert refused("resume", "cat.png").endswith("no such checkpoint: cat.checkpoint.safetensors")


@pytest.mark.slow
def test_new_run_is_resumed_like_any_other() -> None:
    for steps in ("3", "5"):
        vqclip("resume", "fox.png", "--steps", steps, "--lr", "0.5", "-o", f"{steps}.png")
    vqclip("resume", "3.png", "--steps", "5", "-o", "again.png")
    assert Path("again.png").read_bytes() == Path("5.png").read_bytes()
    assert "with other settings from step 2" in vqclip("again", "5.png", "-o", "b.png").stderr


def test_older_checkpoints_have_no_prior() -> None:
    path = Path("fox.checkpoint.safetensors")
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["vqclip"])
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    del header["metadata"]["settings"]["prior"]
    save_file(tensors, path, {"vqclip": json.dumps(header)})
    vqclip("resume", "fox.png", "--steps", "3")
    assert settings("fox.png")["prior"] == 0


def test_impossible_changes_are_refused() -> None:
    assert "is finished: to extend it, use --steps" in refused("resume", "fox.png", "--lr", "0.5")
    taken = ("resume", "fox.png", "--steps", "3", "--lr", "1", "-o", "fox.png")
    assert "fox.png exists" in refused(*taken)
    assert leftovers(Path()) == ["fox.checkpoint.safetensors", "fox.png"]
