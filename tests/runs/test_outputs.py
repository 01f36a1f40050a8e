from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import leftovers
from vqclip.config import GenerateConfig, OutputConfig
from vqclip.config.prompts import parse_prompts
from vqclip.errors import UsageError
from vqclip.runs.outputs import (
    check_outputs,
    default_name,
    files,
    fill_pattern,
    shown_steps,
    slug,
    tell_apart,
)

CONFIG = GenerateConfig(parse_prompts("A red/apple:2 | blurry:-1"), seed=7, size=(64, 32))


def test_names() -> None:
    assert default_name(CONFIG) == "a-red-apple-blurry-7.png"
    assert (
        default_name(replace(CONFIG, prompts=parse_prompts("/tmp/my.jpg", "image"))) == "my-7.png"
    )
    pattern = "out/{prompt}_{seed}_{steps}_{step}_{size}_{n}.png"
    assert fill_pattern(pattern, CONFIG, 3) == Path("out/a-red-apple-blurry_7_100_100_64x32_3.png")


@given(st.text())
def test_slugs_are_safe_on_every_file_system(text: str) -> None:
    name = slug(text)
    assert name
    assert len(name.encode()) <= 200
    assert not set(name) & set('/\\:*?"<>|. \0')
    assert name == name.strip("-")


@pytest.mark.parametrize("pattern", ["{promt}.png", "{}.png", "{0}.png", "{seed", "{seed.x}.png"])
def test_wrong_patterns_list_the_fields(pattern: str) -> None:
    with pytest.raises(UsageError, match=r"\{prompt\} \{seed\}"):
        fill_pattern(pattern, CONFIG, 1)


def test_equal_names_are_told_apart() -> None:
    a, b = Path("a.png"), Path("b.png")
    assert tell_apart([a, b], [1, 2]) == [a, b]
    assert tell_apart([a, a], [7, 8]) == [Path("a-7.png"), Path("a-8.png")]


def test_the_last_step_is_always_shown() -> None:
    output = OutputConfig(Path("a.png"), every=4, frames=Path("f"), films=(Path("a.gif"),))
    assert shown_steps(output, 10) == [0, 4, 8, 10]
    assert [p.name for p in files(output, 4)] == ["a.png", "a.gif", "00000.png", "00004.png"]


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (OutputConfig(Path("taken.png")), "taken.png exists"),
        (OutputConfig(Path("a.png"), films=(Path("taken.gif"),)), "taken.gif exists"),
        (OutputConfig(Path("a.png"), codes=Path("taken.npz")), "taken.npz exists"),
        (OutputConfig(Path("a.png"), frames=Path("frames")), "00000.png exists"),
        (OutputConfig(Path("a.bmp")), "must end in .png"),
        (OutputConfig(Path("a.png"), films=(Path("a.avi"),)), "must end in one of .gif"),
        (OutputConfig(Path("a.webp"), films=(Path("a.webp"),)), "both the image and the video"),
        (OutputConfig(Path("folder.png")), "is a folder"),
        (OutputConfig(Path("taken.png/a.png")), "cannot write to"),
        (OutputConfig(Path("/proc/none/a.png")), "cannot write to"),
    ],
)
def test_what_could_not_be_written_is_refused(output: OutputConfig, message: str) -> None:
    for name in ("taken.png", "taken.gif", "taken.npz"):
        Path(name).touch()
    Path("folder.png").mkdir()
    Path("frames").mkdir()
    Path("frames/00000.png").touch()
    before = leftovers(Path())
    with pytest.raises(UsageError, match=message):
        check_outputs(output, 3)
    assert leftovers(Path()) == before


def test_overwriting_can_be_asked_for() -> None:
    Path("taken.png").touch()
    check_outputs(OutputConfig(Path("taken.png"), overwrite=True), 3)


def test_new_folders_are_fine_and_not_made_yet() -> None:
    check_outputs(OutputConfig(Path("new/deep/a.png")), 3)
    assert not Path("new").exists()
