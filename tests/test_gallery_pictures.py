"""The README's gallery: reproducible images of prompts that were chosen beforehand."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.runner import vqclip
from vqclip.config import GenerateConfig
from vqclip.evaluation.pictures import read_prompts
from vqclip.hub.derived import explicit
from vqclip.media.images import read_metadata
from vqclip.runs.naming import slug
from vqclip.runs.replay import recorded_config

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "gallery"
PICTURES = sorted(FOLDER.glob("*.png"))
needs_pictures = pytest.mark.skipif(not PICTURES, reason="docs/gallery holds no pictures yet")


def script(*words: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(ROOT / "benchmarks" / "gallery.py"), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)


def test_the_prompts_are_two_dozen() -> None:
    assert len({slug(prompt) for prompt in read_prompts(FOLDER / "prompts.txt")}) == 24


@needs_pictures
def test_every_picture_tells_how_it_was_made() -> None:
    prompts = {slug(prompt): prompt for prompt in read_prompts(FOLDER / "prompts.txt")}
    for path in PICTURES:
        recorded = read_metadata(path)
        assert recorded["prompt"] == prompts[path.stem]
        prompts_of = recorded_config(recorded, path).prompts
        usual = explicit(GenerateConfig(prompts_of, device="cpu", precision="portable"))
        assert recorded["settings"] == json.loads(json.dumps(usual.to_dict())), path.name
        shown = vqclip("show", str(path)).stdout
        assert f"prompt             {recorded['prompt']}\n" in shown


@needs_pictures
@pytest.mark.slow
def test_a_picture_of_the_gallery_is_made_again() -> None:
    result = script("--check", "--only", PICTURES[0].stem)
    if result.returncode == 3:
        pytest.skip(f"bytes differ with other versions: {result.stdout}")
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.slow
def test_the_script_draws_and_checks(tmp_path: Path) -> None:
    folder = tmp_path / "gallery"
    folder.mkdir()
    (folder / "prompts.txt").write_text("# two\na red apple\na robot\n")
    quick = ["--steps", "1", "--size", "16", "--cutouts", "1", "--init", "random"]
    drawn = script("--folder", folder, "--", *quick)
    assert drawn.returncode == 0, drawn.stderr
    assert sorted(path.name for path in folder.glob("*.png")) == ["a-red-apple.png", "a-robot.png"]
    assert "| [a robot](gallery/a-robot.png) | `vqclip 'a robot' " in drawn.stdout
    with Image.open(tmp_path / "gallery.png") as page:
        assert page.size == (6 * 20 - 4, 16)
    assert script("--folder", folder, "--check").returncode == 0
    drawn_with = json.loads((folder / "drawn_with.json").read_text())
    (folder / "a-robot.png").write_bytes((folder / "a-red-apple.png").read_bytes()[:-1])
    wrong = script("--folder", folder, "--check", "--only", "a-robot")
    assert (wrong.returncode, "different: a-robot" in wrong.stdout) == (1, True)
    (folder / "drawn_with.json").write_text(json.dumps(drawn_with | {"torch": "an abacus"}))
    elsewhere = script("--folder", folder, "--check", "--only", "a-robot")
    assert elsewhere.returncode == 3
    assert "torch: generated with an abacus" in elsewhere.stdout
