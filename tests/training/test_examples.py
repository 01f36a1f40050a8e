"""The commands and configs in the guide to every task, with tiny data."""

import re
import shlex
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.runner import vqclip
from vqclip.training.examples import EXAMPLES, example, stage_of

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "guides" / "tasks.md").read_text()
SECTIONS = {
    part.partition("\n")[0]: re.findall(r"^(vqclip .*)$", part, re.MULTILINE)
    for part in GUIDE.split("\n## ")[1:]
}
QUICK = {
    "vqclip train": [
        *("--set", "train.steps=1", "--set", "train.batch_size=2", "--set", "train.sample_every=0"),
        *("--set", "train.validate_samples=1", "--set", "train.device=cpu", "--quiet"),
    ],
    "vqclip sample": ["--quiet", "--device", "cpu", "--overwrite"],
    "vqclip reconstruct": ["--quiet", "--device", "cpu"],
    "vqclip a": ["--steps", "1", "--cutouts", "2", "--quiet", "--device", "cpu", "--overwrite"],
}


def script(name: str) -> Any:
    spec = spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder in which all sections run in order."""
    path: Path = tmp_path_factory.mktemp("tasks")
    script("shapes").write(path / "shapes", 8, 32)
    return path


def run(line: str) -> None:
    words = shlex.split(line)
    if ">" in words:
        *words, _, file = words
        Path(file).write_text(vqclip(*words[1:]).stdout)
        return
    quick = next(more for start, more in QUICK.items() if " ".join(words).startswith(start))
    if words[1] == "sample":
        words += ["-o", "sample.png"]
    vqclip(*words[1:], *quick)


@pytest.mark.slow
@pytest.mark.parametrize("section", list(SECTIONS))
def test_commands_in_the_guide(folder: Path, section: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    for needed in dict.fromkeys(("VQGAN", section)):  # other sections may run in another process
        if needed == "VQGAN" and Path("runs/vqgan/best").is_dir():
            continue
        for line in SECTIONS[needed]:
            run(line)


def test_the_guide_has_every_example() -> None:
    assert set(re.findall(r"--example ([\w-]+) >", GUIDE)) == set(EXAMPLES)


@pytest.mark.parametrize("kind", list(EXAMPLES))
def test_examples_are_complete_and_commented(kind: str) -> None:
    text = example(kind)
    values = yaml.safe_load(text)
    assert set(values) == {"seed", "model", "loss", "data", "train"}
    assert "$" not in text
    assert f"vqclip train {stage_of(kind)} {kind}.yaml --set data.folder=FOLDER" in text
    assert text.count(" # ") > 5
    assert all(len(line) <= 100 for line in text.splitlines())


def test_right_samples_are_recognised() -> None:
    shapes, tasks = script("shapes"), script("tasks")
    here = shapes.Shape("circle", 0.3, 0.3, 0.2)
    near, far = shapes.Shape("circle", 0.33, 0.3, 0.2), shapes.Shape("circle", 0.7, 0.7, 0.2)
    other = shapes.Shape("square", 0.3, 0.3, 0.2)
    wanted, *drawn = (shapes.draw([shape], 32)["pictures"] for shape in (here, near, far, other))
    assert [tasks.alike(image, wanted) for image in drawn] == [True, False, False]
    wide = tasks.Drawn(tasks.beside(drawn[0], drawn[1]), tasks.beside(wanted, wanted))
    assert not wide.right
    assert not tasks.alike(shapes.draw([here], 32)["edges"].convert("RGB"), wanted)
