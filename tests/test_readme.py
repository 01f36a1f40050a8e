"""The commands in the README and on the site are valid: each one is parsed."""

import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.cli.runner import invoke
from vqclip.batch.folder import RunFolder
from vqclip.batch.jobs import Job
from vqclip.cli import sessions
from vqclip.cli.commands import animate, batch, restyle, resume, story
from vqclip.config import GenerateConfig, OutputConfig, SampleConfig
from vqclip.config.prompts import parse_prompts
from vqclip.generation.state import State
from vqclip.hub import store
from vqclip.hub.install import Installed
from vqclip.media.images import save_image
from vqclip.runs.checkpoint import Checkpoint, save_checkpoint
from vqclip.runs.naming import checkpoint_path

CONFIG = GenerateConfig(parse_prompts("a red apple"), init="random")
ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TEXT = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
SHELL = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
LINES = [line.split("  #")[0].rstrip() for block in SHELL for line in block.splitlines()]
COMMANDS = sorted({line for line in LINES if line.startswith("vqclip ")})
PYTHON = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
# Lines in shell blocks that no test runs, with the reason.
OTHER = {
    "pip": "installs",
    "python3": "installs",
    "git": "needs the network",
    "printf": "writes the list that the next line reads",
    "ray": "starts a cluster; tests/cli/test_batch_ray.py starts its own",
    "accelerate": "needs several devices",
}


def test_every_shell_line_is_tested_or_exempt() -> None:
    others = [line for line in LINES if line and line not in COMMANDS]
    assert {line.split()[0] for line in others} <= OTHER.keys()
    assert len(COMMANDS) > 100


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_are_accepted(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[Any] = []
    monkeypatch.setattr(sessions.Session, "run", lambda self: ran.append(self.config))
    monkeypatch.setattr(animate, "_write", lambda *settings: ran.append(settings))
    for name in ("_run", "_show"):
        monkeypatch.setattr(batch, name, lambda *settings: ran.append(settings))
    monkeypatch.setattr(story, "make_story", lambda *settings, **_: ran.append(settings))
    monkeypatch.setattr(restyle, "restyle", lambda *settings, **_: ran.append(settings))
    unfinished = "vqclip.video.about.is_unfinished"
    monkeypatch.setattr(unfinished, lambda folder: folder.suffix == ".frames")
    monkeypatch.setattr(resume, "resume_video", lambda *settings, **_: ran.append(settings))
    words = shlex.split(command, comments=True)[1:]
    _without_downloads(monkeypatch)
    _inputs(words)
    result = invoke(*words, input="a red apple\n")
    assert result.exit_code == 0, result.output
    assert ran or words[0] in ("list", "reconstruct", "decode", "show", "weights", "export")


def _without_downloads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Treat models that would be downloaded or imported as already stored."""
    monkeypatch.setattr("vqclip.hub.export.export_checkpoint", lambda _, path, *__, **___: [path])
    for name in ("get", "import_model"):
        monkeypatch.setattr(f"vqclip.hub.install.{name}", lambda *_, **__: _kept("mine"))


def _kept(name: str) -> Installed:
    with store.adding(name, overwrite=True) as folder:
        store.write_record(folder, kind="vqgan", state=store.IMPORTED)
    model = store.find(name)
    assert model is not None
    return Installed(model, True)


def _inputs(words: list[str]) -> None:
    """Write the input files of the commands that are actually run."""
    if words[0] == "weights":
        _kept("mine")
    if words[0] == "reconstruct":
        Image.new("RGB", (16, 16)).save(words[1])
    if words[0] == "animate":
        Path(words[1]).mkdir()
        for number in range(60):
            Image.new("RGB", (16, 16)).save(Path(words[1]) / f"{number}.png")
    if words[0] == "batch" and words[1] != "-":
        Path(words[1]).write_text("prompt\na red apple\n")
    if words[0] in ("again", "show"):
        config = SampleConfig() if words[1].startswith("sample") else CONFIG
        save_image(Image.new("RGB", (16, 16)), Path(words[1]), {"settings": config.to_dict()})
    if words[0] == "resume":
        _begun_run(Path(words[1]))
    for word in words:
        if word.endswith(".npz") and words[0] not in ("reconstruct", "decode"):
            np.savez(word, indices=np.zeros((1, 2, 2), int))
    if words[0] == "decode":
        np.savez(words[1], indices=np.zeros((1, 2, 2), int))


def _begun_run(path: Path) -> None:
    if path.suffix == ".frames":
        path.mkdir()
        return
    if not path.suffix:
        folder = RunFolder(path)
        path.mkdir()
        folder.save([Job(CONFIG, name="a")])
        return
    place, weights = checkpoint_path(path), {"settings": CONFIG.to_dict(), "weights": {}}
    state = State(1, {"z": torch.zeros(1)}, {})
    save_checkpoint(place, Checkpoint(CONFIG, OutputConfig(path), weights, state))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_images_exist(page: Path) -> None:
    for path in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        with Image.open(page.parent / path) as image:
            image.load()


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "CONTRIBUTING.md"])
def test_links_to_files_exist(page: Path) -> None:
    for path in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
        assert (ROOT / path).exists(), path


@pytest.mark.slow
@pytest.mark.parametrize("code", PYTHON)
def test_python_runs(code: str) -> None:
    cheap = code.replace("steps=100", "steps=1, size=(16, 16), num_cutouts=1, init='random'")
    assert cheap != code
    exec(compile(cheap, "README", "exec"), {})
    assert list(Path().glob("*.png"))


def test_every_option_is_documented_or_listed_by_help() -> None:
    commands = [[], ["complete"], ["sample"], ["reconstruct"], ["decode"]]
    commands += [["batch"], ["again"], ["show"], ["resume"]]
    commands += [["weights", name] for name in ("list", "get", "import", "remove")]
    commands += [["animate"], ["story"], ["restyle"]]
    helps = (invoke(*c, "--help", env={"COLUMNS": "200"}) for c in commands)
    shown = "".join(help.stdout for help in helps)
    for option in set(re.findall(r"--[a-z][a-z0-9-]+", " ".join(COMMANDS))):
        assert option in shown
