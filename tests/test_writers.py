from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from PIL import Image

from tests.conftest import leftovers
from vqclip.errors import UsageError
from vqclip.writers import Writer, film_fps, film_writer, frames_writer


def write_all(writer: Writer, count: int, size: tuple[int, int] = (33, 47)) -> None:
    for step in range(count):
        writer(np.full((*size, 3), (step * 40, 128, 255 - step * 40), np.uint8), step)


def test_frames_are_numbered_by_step(tmp_path: Path) -> None:
    with frames_writer(tmp_path / "f") as writer:
        write_all(writer, 2)
        assert leftovers(tmp_path) == ["f/00000.png", "f/00001.png"]  # at once, not at the end


def test_mp4_plays_back(tmp_path: Path) -> None:
    with film_writer(tmp_path / "a.mp4", 10) as writer:
        write_all(writer, 6)
    frames = iio.imread(tmp_path / "a.mp4", plugin="pyav")
    assert frames.shape == (6, 34, 48, 3)  # even sides
    assert abs(int(frames[5, 10, 10, 0]) - 200) < 12
    assert leftovers(tmp_path) == ["a.mp4"]


def test_gif_plays_back(tmp_path: Path) -> None:
    with film_writer(tmp_path / "a.gif", 10) as writer:
        write_all(writer, 6)
    with Image.open(tmp_path / "a.gif") as gif:
        assert (gif.n_frames, gif.size, gif.info["duration"], gif.info["loop"]) == (
            6,
            (47, 33),
            100,
            0,
        )
        gif.seek(5)
        assert gif.convert("RGB").getpixel((3, 3)) == (200, 128, 55)


@pytest.mark.parametrize("name", ["a.mp4", "a.gif"])
def test_ctrl_c_keeps_the_film_so_far(tmp_path: Path, name: str) -> None:
    def run() -> None:
        with film_writer(tmp_path / name, 10) as writer:
            write_all(writer, 3)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()
    assert leftovers(tmp_path) == [name]
    assert len(iio.imread(tmp_path / name)) == 3


@pytest.mark.parametrize("name", ["a.mp4", "a.gif"])
def test_a_failure_leaves_no_film(tmp_path: Path, name: str) -> None:
    def run() -> None:
        with film_writer(tmp_path / name, 10) as writer:
            write_all(writer, 1)
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        run()
    assert leftovers(tmp_path) == []


def test_films_of_others_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a.gif").write_text("mine")

    def run() -> None:
        with film_writer(tmp_path / "a.gif", 10) as writer:
            write_all(writer, 1)

    with pytest.raises(FileExistsError):
        run()
    assert (tmp_path / "a.gif").read_text() == "mine"


def test_unknown_suffix() -> None:
    with pytest.raises(UsageError, match=r"\.gif or \.mp4"):
        film_writer(Path("a.avi"), 10)


def test_frame_rates() -> None:
    assert [film_fps(n) for n in (1, 80, 1000)] == [5, 10, 30]
