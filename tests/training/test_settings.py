"""Settings from YAML, and errors for invalid ones."""

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from vqclip.errors import CheckpointError, UsageError
from vqclip.training.settings import (
    LoopSettings,
    changed,
    parse_section,
    read_training_settings,
    settings_of,
)


def test_reads_a_file_with_changes(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("seed: 3\nmodel: {target: x}\ntrain: {steps: 5, learning_rate: 1e-4}\n")
    settings = read_training_settings("vqgan", file, ["train.steps=7", "data.sources=[{path: a}]"])
    assert (settings.stage, settings.seed, settings.train.steps) == ("vqgan", 3, 7)
    assert settings.train.learning_rate == 1e-4  # YAML reads it as text, because it has no dot
    assert settings.data == {"sources": [{"path": "a"}]}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"trian": {}}, "unknown setting 'trian'; did you mean 'train'"),
        ({"train": {"step": 1}}, "did you mean 'steps'"),
        ({"train": {"steps": 1.5}}, "train.steps must be a whole number, not 1.5"),
        ({"train": {"steps": True}}, "train.steps must be a whole number, not True"),
        ({"train": {"steps": 0}}, "steps must be at least 1"),
        ({"train": {"ema": 1}}, "ema must be at least 0 and below 1"),
        ({"train": {"learning_rate": "fast"}}, "train.learning_rate must be a number"),
        ({"train": {"learning_rate": 1, "base_learning_rate": 1}}, "not both"),
        ({"train": {"learning_rate": -1}}, "above 0"),
        ({"train": {"schedule": "cosin"}}, "did you mean 'cosine'"),
        ({"train": [1]}, "train must be a mapping"),
        ({"start": 3}, "start must be text"),
        ({"seed": -1}, "seed must be at least 0"),
    ],
)
def test_invalid_values_are_named(values: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        settings_of("vqgan", values)


def test_changes_reach_into_lists_and_make_mappings() -> None:
    values = {"a": [{"b": 1}, 2]}
    assert changed(values, ["a.0.b=3", "c.d=[1, x]"]) == {"a": [{"b": 3}, 2], "c": {"d": [1, "x"]}}
    assert values == {"a": [{"b": 1}, 2]}
    for change, message in {
        "a": "write, for example, train.steps=100",
        "a.2=1": "'2' is not an index into a list of 2 items",
        "a.1.b=1": "no settings in 2",
        "a={": "as YAML",
    }.items():
        with pytest.raises(UsageError, match=message):
            changed(values, [change])


def test_files_that_are_not_settings(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read the config"):
        read_training_settings("vqgan", tmp_path / "none.yaml")
    file = tmp_path / "list.yaml"
    file.write_text("- 1")
    with pytest.raises(UsageError, match="contains no settings"):
        read_training_settings("vqgan", file)
    file.write_text("a: !!python/object/apply:os.system [x]")
    with pytest.raises(CheckpointError, match="refused"):
        read_training_settings("vqgan", file)


@dataclass(frozen=True)
class Inner:
    number: float


@dataclass(frozen=True)
class Outer:
    inner: Inner
    pair: tuple[int, int] = (1, 2)
    several: tuple[Inner, ...] = ()
    either: int | str | None = None
    kind: Literal["a", "b"] = "a"
    names: tuple[str, ...] = field(default=())


def test_sections_become_dataclasses() -> None:
    values = {"inner": {"number": 1}, "pair": [3, 4], "several": [{"number": "2e1"}], "either": "x"}
    parsed = parse_section(Outer, values, "loss")
    assert parsed == Outer(Inner(1.0), (3, 4), (Inner(20.0),), "x")
    assert isinstance(parsed.inner.number, float)
    with pytest.raises(UsageError, match=r"the settings lack loss\.inner"):
        parse_section(Outer, {}, "loss")
    with pytest.raises(UsageError, match=r"loss\.pair must be 2 values"):
        parse_section(Outer, {"inner": {"number": 1}, "pair": [1]}, "loss")
    with pytest.raises(UsageError, match=r"loss\.several\.0\.number must be a number"):
        parse_section(Outer, {"inner": {"number": 1}, "several": [{"number": []}]}, "loss")


def test_learning_rates() -> None:
    assert LoopSettings(learning_rate=0.5).rate(1.0) == 0.5
    assert LoopSettings().rate(1.0) == 1.0
    train = LoopSettings(base_learning_rate=0.5, batch_size=3, accumulate=2)
    assert train.rate(1.0, processes=4) == 12.0


def test_torch_is_not_needed() -> None:
    code = (
        "import sys, vqclip.training.settings, vqclip.training.vqgan.settings\n"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
