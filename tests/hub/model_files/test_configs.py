"""YAML configs are found and read as data, and refused if they are anything else."""

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vqclip.errors import CheckpointError, UnsafeCheckpointError, UsageError, VqclipError
from vqclip.files.safe_yaml import parse_yaml
from vqclip.hub.model_files import ModelConfig, read_config, stage_config
from vqclip.hub.model_files.configs import find_config

REFERENCE = Path(__file__).parents[2] / "reference"
VQGAN = "taming.models.vqgan.VQModel"


def written(tmp_path: Path, text: str | bytes) -> Path:
    file = tmp_path / "model.yaml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


@pytest.mark.parametrize("top", ["model:\n  ", ""])
def test_target_and_params(top: str, tmp_path: Path) -> None:
    indent = "\n  " if top else "\n"
    file = written(tmp_path, f"{top}target: {VQGAN}{indent}params: {{n_embed: 4}}\n")
    config = read_config(file)
    assert (config.target, config.params, config.name) == (VQGAN, {"n_embed": 4}, str(file))


def test_stages_of_a_transformer() -> None:
    config = read_config(REFERENCE / "full" / "sflckr.yaml")
    assert stage_config(config, "first").target == VQGAN
    assert stage_config(config, "cond").target == "taming.models.vqgan.VQSegmentationModel"
    shared = ModelConfig(
        config.target, {**config.params, "cond_stage_config": "__is_first_stage__"}
    )
    assert stage_config(shared, "cond").params == stage_config(config, "first").params
    plain = stage_config(config, "first")
    assert stage_config(plain, "cond") is plain


def test_no_conditioning_vqgan() -> None:
    config = read_config(REFERENCE / "full" / "ffhq_transformer.yaml")
    with pytest.raises(CheckpointError, match="cond_stage_config"):
        stage_config(config, "cond")


@pytest.mark.parametrize(
    "text",
    [
        "model: !!python/object/apply:os.system ['touch trace']",
        "a: !!python/name:os.system",
        "!!python/object/new:subprocess.Popen [[touch, trace]]",
        "%TAG ! tag:yaml.org,2002:python/\n---\n!object/apply:os.system ['touch trace']",
    ],
)
def test_python_tags_are_refused(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnsafeCheckpointError, match="Python objects"):
        read_config(written(tmp_path, text))
    assert not (tmp_path / "trace").exists()


def bomb(levels: int, width: int, template: str) -> str:
    lines = ["a0: &a0 [x, x]"]
    for level in range(1, levels):
        aliases = ", ".join([f"*a{level - 1}"] * width)
        lines.append(f"a{level}: &a{level} " + template.format(aliases))
    return "\n".join(lines)


@pytest.mark.parametrize(
    "text",
    [
        bomb(12, 9, "[{}]"),
        bomb(40, 2, "[{}]"),
        "a0: &a0 {x: 1, y: 2}\n" + bomb(40, 2, "{{<<: [{}]}}").partition("\n")[2],
        "a: &a [*a]",
        "a: &a {<<: *a}",
        pytest.param("[" * 2000, marks=pytest.mark.slow),
        "a: " * 3 + "{" * 2000,
    ],
)
def test_alias_bombs_are_refused_quickly(text: str, tmp_path: Path) -> None:
    start = time.process_time()  # expanded, they would take years
    with pytest.raises(CheckpointError):
        read_config(written(tmp_path, text))
    assert time.process_time() - start < 60


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("# nothing\n", "is empty"),
        ("<!DOCTYPE html>Link does not exist", "web page"),
        ("just words", "no model.target"),
        ("model: {params: {n_embed: 4}}", "no model.target"),
        ("model: {target: 3}", "no model.target"),
        ("model: {target: a.b, params: [1]}", "not a mapping"),
        ("model: [", "not valid YAML"),
        ("a: !unknown 3", "not valid YAML"),
        ("a: 2021-99-99", "not valid YAML"),
        (b"PK\x03\x04\xff\xfe", "not a text file|not valid YAML"),
        (b"#" * ((1 << 20) + 1), "too large"),
    ],
)
def test_each_mistake_has_its_message(content: str | bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=message) as caught:
        read_config(written(tmp_path, content))
    assert "model.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_config(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        read_config(tmp_path / "missing.yaml")


@given(st.text() | st.text(alphabet="a:&*[]{}!<, \n-'\"|>?%@1.~"))
def test_any_text_parses_or_is_refused(text: str) -> None:
    try:
        parse_yaml(text, Path("x.yaml"))
    except VqclipError as error:
        assert "\n" not in str(error)


def test_nearest_config_is_found(tmp_path: Path) -> None:
    weights = tmp_path / "run" / "checkpoints" / "last.ckpt"
    configs = tmp_path / "run" / "configs"
    for folder in (weights.parent, configs):
        folder.mkdir(parents=True)
    assert find_config(weights) is None
    candidates = [
        configs / "2021-01-01T00-00-00-project.yaml",
        configs / "2021-01-02T00-00-00-project.yaml",
        configs / "model.yaml",
        weights.parent / "model.yaml",
        weights.parent / "config.yaml",
        weights.with_name("last.yaml"),
    ]
    for candidate in candidates:
        candidate.touch()
        assert find_config(weights) == candidate
