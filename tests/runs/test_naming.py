"""Names of output files."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vqclip.config import FileOptions, GenerateConfig
from vqclip.config.prompts import parse_prompts
from vqclip.errors import UsageError
from vqclip.runs.naming import (
    batch_folder,
    default_name,
    distinct_paths,
    fill_pattern,
    name_images,
    name_videos,
    renamed,
    slug,
)

CONFIG = GenerateConfig(
    parse_prompts("A red/apple:2 | blurry:-1"), seed=7, size=(64, 32), steps=100
)


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


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("लाल सेब", "लाल-सेब"),
        ("แอปเปิ้ลสีแดง", "แอปเปิ้ลสีแดง"),
        ("שָׁלוֹם", "שָׁלוֹם"),
        ("e\u0301te\u0301", "\xe9t\xe9"),
        ("❤\ufe0f love", "love"),
        ("\u0301a __ b", "a-b"),
        ("👩\u200d👩\u200d👧", "picture"),
    ],
)
def test_combining_marks_are_kept(text: str, name: str) -> None:
    assert slug(text) == name


@pytest.mark.parametrize("pattern", ["{promt}.png", "{}.png", "{0}.png", "{seed", "{seed.x}.png"])
def test_invalid_patterns_list_the_fields(pattern: str) -> None:
    with pytest.raises(UsageError, match=r"\{prompt\} \{seed\}"):
        fill_pattern(pattern, CONFIG, 1)


def test_equal_names_are_made_distinct() -> None:
    a, b = Path("a.png"), Path("b.png")
    assert distinct_paths([a, b], [1, 2]) == [a, b]
    assert distinct_paths([a, a], [7, 8]) == [Path("a-7.png"), Path("a-8.png")]


def test_default_names_avoid_all_existing_files() -> None:
    a, b = Path("a.png"), Path("b.png")
    asked = FileOptions(gif=True)
    for name in ("a.gif", "a-2.checkpoint.safetensors", "b.npz"):
        Path(name).touch()
    assert [one.path.name for one in name_images(asked, [a, b], [1, 2])] == ["a-3.png", "b-2.png"]
    for certain in (replace(asked, overwrite=True), replace(asked, output="a.png")):
        assert name_images(certain, [a], [1])[0].path == a


def test_samples_with_one_name_stay_together() -> None:
    a = Path("a.png")
    Path("a-2.png").touch()
    asked = FileOptions(save_codes=True, frames=Path("frames"))
    outputs = name_images(asked, [a, a], [1, 2])
    assert [one.path.name for one in outputs] == ["a-2-1.png", "a-2-2.png"]
    assert [one.codes for one in outputs] == [Path("a-2-1.npz"), Path("a-2-2.npz")]
    assert outputs[0].frames == Path("frames/a-2-1")
    assert name_images(asked, [a], [1])[0].frames == Path("frames")


def test_files_of_a_renamed_image_are_beside_it() -> None:
    (old,) = name_images(FileOptions(save_codes=True, frames=Path("f")), [Path("a.png")], [1])
    new = renamed(old, Path("b.png"), [".gif"])
    assert (new.path, new.codes, new.videos) == (Path("b.png"), Path("b.npz"), (Path("b.gif"),))
    assert (new.frames, new.checkpoint) == (Path("f-b"), Path("b.checkpoint.safetensors"))


def test_batch_folders_are_named_after_their_lists() -> None:
    names = {"-": "batch", "in/prompts.v2.txt": "prompts.v2", "prompts": "prompts-run"}
    assert {source: str(batch_folder(source)) for source in names} == names


def test_video_names() -> None:
    Path("a.gif").touch()
    both = FileOptions(gif=True, webp=True)
    assert name_videos(FileOptions(), "a") == (Path("a.mp4"),)
    assert name_videos(both, "a") == (Path("a-2.gif"), Path("a-2.webp"))
    assert name_videos(replace(both, output="b.mp4"), "a") == tuple(
        Path(f"b.{kind}") for kind in ("mp4", "gif", "webp")
    )
