"""The README's gallery: reproducible images of prompts that were chosen in advance."""

import json
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.cli.runner import vqclip
from vqclip.cli.app import app
from vqclip.config import GenerateConfig
from vqclip.evaluation.pictures import read_prompts
from vqclip.hub.run_defaults import explicit
from vqclip.media.images import read_metadata
from vqclip.runs.naming import slug
from vqclip.runs.replay import recorded_config

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "benchmarks" / "gallery.py"
FOLDER = ROOT / "docs" / "gallery"
PICTURES = sorted(FOLDER.glob("*.png"))
needs_pictures = pytest.mark.skipif(not PICTURES, reason="docs/gallery holds no pictures yet")


Script = Callable[..., tuple[int, str]]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Script:
    """Return a function that runs the script and returns its exit status and output."""
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    monkeypatch.delitem(sys.modules, "common", raising=False)

    def run(*words: object, **replaced: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, words)])
        main = runpy.run_path(str(SCRIPT))["main"]
        main.__globals__.update(replaced)
        try:
            main()
        except SystemExit as end:
            return int(end.code or 0), capsys.readouterr().out
        return 0, capsys.readouterr().out

    return run


def test_there_are_two_dozen_prompts() -> None:
    assert len({slug(prompt) for prompt in read_prompts(FOLDER / "prompts.txt")}) == 24


@needs_pictures
def test_every_image_records_how_it_was_made() -> None:
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
def test_gallery_image_is_reproduced(script: Script) -> None:
    """Each of the script's commands has its own process, as portable precision requires."""
    status, told = script("--check", "--only", PICTURES[0].stem)
    if status == 3:
        pytest.skip(f"bytes differ with other versions: {told}")
    assert status == 0, told


def in_this_process(*words: object) -> None:
    result = CliRunner().invoke(app, [str(word) for word in words])
    if result.exit_code:
        raise subprocess.CalledProcessError(result.exit_code, "vqclip", result.output)


@pytest.mark.slow
def test_script_generates_and_checks(script: Script, tmp_path: Path) -> None:
    folder = tmp_path / "gallery"
    folder.mkdir()
    (folder / "prompts.txt").write_text("# two\na red apple\na robot\n")
    here = {"run": in_this_process, "_ANYWHERE": ("--device", "cpu")}
    quick = ["--steps", "1", "--size", "16", "--cutouts", "1", "--init", "random"]
    status, told = script("--folder", folder, "--", *quick, **here)
    assert status == 0
    assert sorted(path.name for path in folder.glob("*.png")) == ["a-red-apple.png", "a-robot.png"]
    assert "| [a robot](gallery/a-robot.png) | `vqclip 'a robot' " in told
    with Image.open(tmp_path / "gallery.png") as page:
        assert page.size == (6 * 20 - 4, 16)
    assert script("--folder", folder, "--check", **here)[0] == 0
    drawn_with = json.loads((folder / "drawn_with.json").read_text())
    (folder / "a-robot.png").write_bytes((folder / "a-red-apple.png").read_bytes()[:-1])
    status, told = script("--folder", folder, "--check", "--only", "a-robot", **here)
    assert (status, "different: a-robot" in told) == (1, True)
    (folder / "drawn_with.json").write_text(json.dumps(drawn_with | {"torch": "an abacus"}))
    status, told = script("--folder", folder, "--check", "--only", "a-robot", **here)
    assert status == 3
    assert "torch: generated with an abacus" in told
