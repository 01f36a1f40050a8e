"""Videos of a transformer's sampling, code by code, and of the refinement."""

import json
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest
from PIL import Image

from tests.cli.runner import refused, vqclip
from tests.conftest import leftovers
from vqclip.media.images import read_metadata
from vqclip.media.writers import video_metadata

FREE = ("-t", str(Path(__file__).parents[1] / "reference" / "n2n_uncond"))
SMALL = ("--size", "16", "--seed", "1")


@pytest.fixture
def photo() -> "np.ndarray[Any, Any]":
    down, right = np.mgrid[:14, :18]
    pixels = np.stack([18 * down, 14 * right, 255 - 18 * down], -1).astype(np.uint8)
    Image.fromarray(pixels).save("photo.png")
    return pixels


def frames(path: str) -> "np.ndarray[Any, Any]":
    """Return the frames of an animated WebP or GIF, (n, h, w, 3)."""
    with Image.open(path) as video:
        shown = []
        for number in range(getattr(video, "n_frames", 1)):
            video.seek(number)
            shown.append(np.asarray(video.convert("RGB")).astype(int))
    return np.stack(shown)


def test_video_shows_a_sample_from_first_to_last_code() -> None:
    words = ["--gif", "--mp4", "--webp", "--every", "3", "--fps", "10"]
    result = vqclip("sample", *FREE, *SMALL, *words, "-o", "a.png", "--json")
    assert json.loads(result.stdout)["files"] == ["a.png", "a.gif", "a.mp4", "a.webp"]
    assert leftovers(Path()) == ["a.gif", "a.mp4", "a.png", "a.webp"]
    video = iio.imread("a.mp4", plugin="pyav")
    assert video.shape == (7, 16, 16, 3)  # after 0, 3, …, 15, 16 codes
    assert iio.immeta("a.mp4", plugin="pyav")["duration"] == pytest.approx(0.7)
    with Image.open("a.png") as picture:
        last = np.abs(video[-1].astype(int) - np.asarray(picture)).mean()
        first = np.abs(video[0].astype(int) - np.asarray(picture)).mean()
    assert last < 0.5 * first
    assert video_metadata(Path("a.gif"))["settings"] == read_metadata(Path("a.png"))["settings"]


def test_codes_not_drawn_yet_are_plain() -> None:
    vqclip("sample", *FREE, *SMALL, "--webp", "--every", "1", "-o", "a.png", "--save-codes")
    video = frames("a.webp")
    assert len(video) > 8  # equal frames are merged
    changes = np.abs(np.diff(video, axis=0)).sum((1, 3)) > 0  # (frames, columns)
    assert changes.any(1).all()


def test_every_sample_has_its_own_video() -> None:
    words = [*FREE, "--size", "16", "--mp4", "--every", "8"]
    vqclip("sample", *words, "--seed", "1", "--samples", "2", "-o", "a.png")
    assert leftovers(Path()) == ["a-1.mp4", "a-1.png", "a-2.mp4", "a-2.png"]
    vqclip("sample", *words, "--seed", "2", "-o", "b.png")
    assert Path("a-2.mp4").read_bytes() == Path("b.mp4").read_bytes()


@pytest.mark.slow
def test_video_includes_the_refinement(photo: "np.ndarray[Any, Any]") -> None:
    words = ["--keep", "top", "--prompt", "a red apple", "--refine", "2", "--seed", "1"]
    vqclip("complete", "photo.png", *FREE, *words, "--mp4", "--every", "1", "-o", "a.png")
    video = iio.imread("a.mp4", plugin="pyav")
    drawn = 4 * 5 - 5  # codes of 4 pixels, without the row that is kept entirely
    assert video.shape[1:] == (14, 18, 3)
    assert len(video) >= drawn + 1 + 2
    kept = video[:, :6].astype(int)
    assert np.abs(kept - photo[:6]).mean() < 15  # of 255; H.264 at this size
    assert np.abs(np.diff(kept, axis=0)).mean() < 5


def test_ctrl_c_while_sampling_keeps_the_video_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    from vqclip.cli import progress

    def interrupt(self: Any, done: int, *_: Any) -> None:
        if done == 6 and "drawing" in self.bar.tasks[0].description:
            raise KeyboardInterrupt

    monkeypatch.setattr(progress.Progress, "update", interrupt)
    result = vqclip("sample", *FREE, *SMALL, "--mp4", "--every", "1", "-o", "a.png", code=130)
    assert "interrupted after 6 of 16 codes" in result.stderr
    assert len(iio.imread("a.mp4", plugin="pyav")) == 7


def test_ctrl_c_while_writing_videos_keeps_all_images(monkeypatch: pytest.MonkeyPatch) -> None:
    from vqclip.runs import samples

    def interrupt(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(samples, "picture", interrupt)
    words = ["--samples", "2", "--gif", "-o", "a.png"]
    result = vqclip("sample", *FREE, *SMALL, *words, code=130)
    assert leftovers(Path()) == ["a-1.png", "a-2.png"]
    assert "interrupted after sampling" in result.stderr
    assert "interrupted_at" not in read_metadata(Path("a-1.png"))


def test_foreign_videos_are_left_alone() -> None:
    Path("a.gif").write_text("mine")
    assert "a.gif exists" in refused("sample", *FREE, *SMALL, "--gif", "-o", "a.png")
    assert "fps must be" in refused("sample", *FREE, *SMALL, "--gif", "--fps", "0", "-o", "b.png")
    assert "every must be" in refused("sample", *FREE, *SMALL, "--gif", "--every", "0")
    Path("sample-1.gif").write_text("mine")
    vqclip("sample", *FREE, *SMALL, "--gif")
    assert leftovers(Path()) == ["a.gif", "sample-1-2.gif", "sample-1-2.png", "sample-1.gif"]
