"""``--dry-run``: files, time and memory are printed, and nothing is written."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.cli.runner import refused, vqclip
from tests.conftest import leftovers
from vqclip.cli.dry_run import duration
from vqclip.diagnostics.forecast import Pace, pace, peak_memory
from vqclip.files.embedded import weights_folder
from vqclip.media.images import save_image

REFERENCE = Path(__file__).parents[1] / "reference"
TINY = ("--size", "16", "--steps", "4", "--seed", "1", "--cutouts", "1", "--init", "random")
FRAMES = tuple(Image.new("RGB", (16, 16), (80 * n, 9, 9)) for n in range(3))


def told(*words: str) -> dict[str, Any]:
    """Return the forecast, and check that no files are left."""
    before = leftovers(Path())
    result = vqclip(*words, "--dry-run", "--json")
    assert leftovers(Path()) == before
    (line,) = result.stdout.splitlines()
    values: dict[str, Any] = json.loads(line)
    assert values["seconds"] > 0
    assert values["peak_memory"] > 1e8
    assert all(read["bytes"] for read in values["reads"] if not Path(read["path"]).is_dir())
    return values


def names(values: dict[str, Any]) -> list[str]:
    return [Path(read["path"]).parent.name for read in values["reads"]]


@pytest.fixture
def frames() -> None:
    Path("frames").mkdir()
    for number, frame in enumerate(FRAMES):
        save_image(frame, Path(f"frames/{number}.png"), {})


def test_a_picture() -> None:
    values = told("x", *TINY, "--count", "2", "--gif", "--save-codes")
    assert names(values) == ["vqgan", "clip"]
    assert values["writes"] == [f"x-{n}.{kind}" for n in (1, 2) for kind in ("png", "npz", "gif")]
    size = (weights_folder() / "clip" / "open_clip_model.safetensors").stat().st_size
    assert values["reads"][1]["bytes"] == size


def test_forecast_as_text() -> None:
    lines = vqclip("x", *TINY, "--dry-run").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["reads", "reads", "writes", "takes"]
    assert lines[2].split() == ["writes", "x-1.png"]
    assert lines[3].endswith("of memory; nothing was written")


def test_unwritable_files_are_refused_too() -> None:
    Path("x.png").touch()
    assert "x.png exists" in refused("x", *TINY, "-o", "x.png", "--dry-run")


@pytest.mark.slow
def test_again_and_resume() -> None:
    vqclip("x", *TINY, "-o", "x.png", "--checkpoint")
    assert told("again", "x.png", "-o", "y.png")["writes"] == ["y.png"]
    values = told("resume", "x.png", "--steps", "6")
    assert "x.checkpoint.safetensors" in values["writes"]


def test_samples_and_completions() -> None:
    free = ("-t", str(REFERENCE / "n2n_uncond"), "--seed", "1")
    values = told("sample", *free, "--size", "16", "--samples", "2")
    assert values["writes"] == ["sample-1-1.png", "sample-1-2.png"]
    assert values["reads"][0]["path"].endswith("last.ckpt")
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save("photo.png")
    words = ("--keep", "top", "--prompt", "x", "--refine", "4", *free)
    assert told("complete", "photo.png", *words)["writes"] == ["photo-completed-1.png"]


def test_videos(frames: None) -> None:
    story = ("--steps-per-scene", "4", "--every", "2", "--init", "random")
    values = told("story", "x ^ y", "--size", "16", "--cutouts", "1", "--seed", "1", *story)
    assert values["writes"] == ["x-1.mp4"]
    values = told("animate", "frames", "--gif", "--mp4")
    assert values["writes"] == ["frames.gif", "frames.mp4"]
    assert len(values["reads"]) == 3


def test_restyled_clip(frames: None) -> None:
    pytest.importorskip("cv2")
    words = ("--size", "16", "--steps", "1", "--cutouts", "1", "-o", "out.gif")
    values = told("restyle", "frames", "x", *words)
    assert values["writes"] == ["out.gif"]
    assert values["reads"][-1]["path"] == "frames"


@pytest.mark.parametrize("seconds", [3, 120, 12000])
def test_pace_is_extrapolated(seconds: int) -> None:
    assert Pace(1, seconds - 1).seconds(1) == seconds
    assert Pace(1, 1).seconds(-3) == 1
    assert duration(seconds) in ("3 s", "2 min", "3 h 20 min")


def test_only_the_needed_steps_are_taken() -> None:
    taken: list[int] = []

    def steps(count: int) -> Iterator[int]:
        for number in range(count):
            taken.append(number)
            yield number

    measured = pace(steps(100))
    assert taken == [0, 1, 2]
    assert measured.step >= 0
    assert pace(steps(0)) == Pace(0.0, 0.0)
    assert pace(steps(1)).step == 0
    assert peak_memory() > 1e7
