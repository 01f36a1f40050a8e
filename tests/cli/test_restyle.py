import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest
from PIL import Image

from tests.cli.runner import refused, vqclip
from tests.conftest import leftovers
from tests.media.test_clips import loudness, tone
from vqclip.config import VideoConfig
from vqclip.media.images import load_image, read_metadata
from vqclip.media.writers import Array, video_metadata, video_writer
from vqclip.video import render as rendering
from vqclip.video.restyle import PreviousFrame, mixed

QUICK = ("--steps", "1", "--cutouts", "1", "--size", "32")


def scene(number: int) -> Any:
    """Return frames of a bright square that moves to the right over a gradient."""
    image = np.repeat(np.linspace(0, 120, 48)[None, :, None], 32, 0).repeat(3, 2).astype(np.uint8)
    image[8:24, 4 + 3 * number : 20 + 3 * number] = (250, 200, 40)
    return image


@pytest.fixture(scope="module")
def four_frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write four frames, one second, with a tone."""
    folder = tmp_path_factory.mktemp("clip")
    sound = tone(folder / "tone.m4a", "aac")
    with video_writer(folder / "clip.mp4", VideoConfig(4, sound=sound, quality=100)) as write:
        for number in range(4):
            write(scene(number), number)
    return folder / "clip.mp4"


@pytest.fixture
def clip(four_frames: Path) -> Path:
    return Path(shutil.copy(four_frames, "clip.mp4"))


@pytest.mark.slow
def test_clip_keeps_its_timing_and_sound(clip: Path) -> None:
    result = vqclip("restyle", "clip.mp4", "an oil painting", *QUICK, "--gif", "--mp4", "--json")
    values = json.loads(result.stdout)
    assert values["files"] == ["clip-restyled.gif", "clip-restyled.mp4"]
    assert (values["frames"], values["fps"], values["size"]) == (4, 4.0, [32, 32])
    about = iio.immeta("clip-restyled.mp4", plugin="pyav")
    assert about["duration"] == pytest.approx(1)
    assert iio.improps("clip-restyled.mp4", plugin="pyav").shape == (4, 32, 32, 3)
    codec, seconds, level = loudness(Path("clip-restyled.mp4"))
    assert codec == "aac"
    assert seconds == pytest.approx(1, abs=0.1)
    assert level > 0.1
    settings = video_metadata(Path("clip-restyled.mp4"))
    assert settings["prompt"] == "an oil painting"
    assert settings["restyle"]["coherence"] == 0.5
    assert settings["settings"]["seed"] == 0
    assert leftovers(Path()) == ["clip-restyled.gif", "clip-restyled.mp4", "clip.mp4"]


@pytest.mark.slow
def test_show_prints_the_command_to_reproduce_it(clip: Path) -> None:
    vqclip("restyle", "clip.mp4", "snow | x:-1", *QUICK, "--coherence", "0.7", "-o", "a.webp")
    told = vqclip("show", "a.webp").stdout.splitlines()[-1]
    command = shlex.split(told.removeprefix("again"))
    assert command[:4] == ["vqclip", "restyle", "clip.mp4", "snow | x:-1"]
    vqclip(*command[1:], "-o", "b.webp")
    assert Path("a.webp").read_bytes() == Path("b.webp").read_bytes()
    assert "vqclip show prints the command" in refused("again", "a.webp")


def test_folder_of_images_keeps_its_frames(clip: Path) -> None:
    for number in (1, 2, 10):
        Path("in").mkdir(exist_ok=True)
        Image.fromarray(scene(number)).save(f"in/{number}.png")
    words = ["restyle", "in", "snow", "--steps", "1", "--cutouts", "1", "--fps", "6"]
    vqclip(*words, "--frames", "out", "-o", "a.webp")
    frames = [name for name in leftovers(Path("out")) if name.endswith(".png")]
    assert frames == ["00000.png", "00001.png", "00002.png"]
    assert load_image("out/00000.png").size == (48, 32)
    assert read_metadata(Path("out/00001.png"))["frame"] == 1
    with Image.open("a.webp") as video:
        assert video.n_frames == 3


@pytest.mark.slow
@pytest.mark.parametrize(
    "again",
    [("restyle", "clip.mp4", "snow", *QUICK, "-o", "a.mp4"), ("resume", "a.frames")],
    ids=["same command", "resume"],
)
def test_interrupted_run_resumes_to_the_same_bytes(
    clip: Path, again: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    vqclip("restyle", "clip.mp4", "snow", *QUICK, "-o", "whole.mp4")
    real, drawn = rendering.restyle_frame, 0

    def stopped(*arguments: Any) -> Array:
        nonlocal drawn
        drawn += 1
        if drawn == 3:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(rendering, "restyle_frame", stopped)
    result = vqclip("restyle", "clip.mp4", "snow", *QUICK, "-o", "a.mp4", code=130)
    told = " ".join(result.stderr.split())
    assert "interrupted after 2 frames; continue with: vqclip resume a.frames" in told
    assert "a.frames/00001.png" in leftovers(Path())
    assert not Path("a.mp4").exists()

    other = refused("restyle", "clip.mp4", "snow", *QUICK, "-o", "a.mp4", "--seed", "3")
    assert "a.frames contains frames of another run" in other

    drawn = 10
    vqclip(*again)
    assert drawn == 12  # the two missing frames
    assert Path("a.mp4").read_bytes() == Path("whole.mp4").read_bytes()
    assert leftovers(Path()) == ["a.mp4", "clip.mp4", "whole.mp4"]


def test_frames_start_from_the_warped_result() -> None:
    source, result = scene(0), np.full((32, 48, 3), 200, np.uint8)
    same = mixed(source, PreviousFrame(source, result), 0.5)
    assert np.abs(same - (source / 2 + 100)).max() <= 1
    assert np.array_equal(mixed(source, PreviousFrame(source, result), 0), source)


def test_results_follow_the_motion_of_the_clip() -> None:
    marked = scene(0).copy()
    marked[12:16, 10:14] = (0, 0, 255)  # drawn onto the square
    start = mixed(scene(1), PreviousFrame(scene(0), marked), 1.0).astype(int)
    blue = start[12:16, :, 2] - start[12:16, :, 0]
    assert abs(int(blue.mean(0).argmax()) - 14.5) <= 2.5  # three pixels further right


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["clip.mp4"], "no prompt"),
        (["nowhere.mp4", "snow"], "no such video: nowhere.mp4"),
        (["note.txt", "snow"], "cannot read note.txt as a video"),
        (["clip.mp4", "snow", "--coherence", "2"], "coherence must be from 0 to 1"),
        (["clip.mp4", "snow", "-o", "clip.mp4"], "clip.mp4 exists"),
        (["clip.mp4", "snow", "-o", "a.png"], "must end in"),
        (["empty", "snow"], "no images in empty"),
    ],
)
def test_invalid_input_gives_one_line(clip: Path, words: list[str], message: str) -> None:
    Path("note.txt").write_text("not a video")
    Path("empty").mkdir()
    assert message in refused("restyle", *words)


def test_foreign_frames_are_left_alone(clip: Path) -> None:
    Path("f").mkdir()
    Image.fromarray(scene(0)).save("f/00000.png")
    line = refused("restyle", "clip.mp4", "snow", *QUICK, "--frames", "f")
    assert "f contains other frames" in line


def test_clip_is_not_overwritten_by_its_result(clip: Path) -> None:
    before = clip.read_bytes()
    words = ("restyle", "clip.mp4", "snow", *QUICK, "-o", "clip.mp4", "--overwrite")
    assert "clip.mp4 would be overwritten" in refused(*words)
    assert clip.read_bytes() == before
