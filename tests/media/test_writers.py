import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest
from PIL import Image

from tests.conftest import leftovers, mostly_slow
from vqclip.config import CODECS, VideoConfig
from vqclip.errors import UsageError, VqclipError
from vqclip.media.images import read_metadata
from vqclip.media.writers import Writer, frames_writer, video_metadata, video_writer

VIDEOING = """
import sys, time
from pathlib import Path
from vqclip.config import VideoConfig
from vqclip.media.writers import video_writer
with video_writer(Path(sys.argv[1]), VideoConfig(10)):
    print("writing", flush=True)
    time.sleep(600)
"""
ALL = ["a.mp4", "a.gif", "a.webp"]
SETTINGS = {"prompt": "ein Äpfelchen & <b>", "settings": {"seed": 7, "long": "x" * 700}}


def video(path: Path, rate: float = 10, **options: Any) -> AbstractContextManager[Writer]:
    return video_writer(path, VideoConfig(rate, **options), SETTINGS)


def write_all(writer: Writer, count: int, size: tuple[int, int] = (33, 47)) -> None:
    for step in range(count):
        writer(np.full((*size, 3), (step * 40, 128, 255 - step * 40), np.uint8), step)


def smooth(number: int, side: int = 64) -> Any:
    """Return frames of a moving gradient with some noise."""
    y, x = np.mgrid[:side, :side] / side
    wave = np.stack([x, y, (x + y) / 2], -1) * 120 + 60 + 50 * np.sin(number / 5 + 4 * x[..., None])
    return np.clip(wave, 0, 255).astype(np.uint8)


def durations(path: Path) -> list[int]:
    """Return the milliseconds of every frame."""
    with Image.open(path) as image:
        times = []
        for number in range(image.n_frames):
            image.seek(number)
            image.load()
            times.append(int(image.info["duration"]))
        return times


def test_frames_are_numbered_by_step_and_contain_settings(tmp_path: Path) -> None:
    with frames_writer(tmp_path / "f", SETTINGS) as writer:
        write_all(writer, 2)
        assert leftovers(tmp_path) == ["f/00000.png", "f/00001.png"]  # immediately, not at the end
    assert read_metadata(tmp_path / "f/00001.png") == {**SETTINGS, "step": 1}


def test_mp4_plays_back(tmp_path: Path) -> None:
    with video(tmp_path / "a.mp4", 12.5) as writer:
        write_all(writer, 6)
    frames = iio.imread(tmp_path / "a.mp4", plugin="pyav")
    assert frames.shape == (6, 34, 48, 3)  # even sides
    assert abs(int(frames[5, 10, 10, 0]) - 200) < 12
    about = iio.immeta(tmp_path / "a.mp4", plugin="pyav")
    assert (about["codec"], about["video_format"], about["fps"]) == ("h264", "yuv420p", 12.5)
    assert about["duration"] == pytest.approx(6 / 12.5)
    assert about["title"] == SETTINGS["prompt"]
    assert leftovers(tmp_path) == ["a.mp4"]


@pytest.mark.parametrize("codec", CODECS)
def test_every_codec_plays_back(tmp_path: Path, codec: str, capfd: Any) -> None:
    with video(tmp_path / "a.mp4", codec=codec) as writer:
        for step in range(5):
            writer(smooth(step), step)
    frames = iio.imread(tmp_path / "a.mp4", plugin="pyav")
    assert frames.shape == (5, 64, 64, 3)
    assert np.abs(frames[4].astype(int) - smooth(4)).mean() < 8


@pytest.mark.parametrize(("codec", "least"), [("h264", 2), ("vp9", 2), ("av1", 4), ("h265", 16)])
def test_frames_may_be_too_small_for_a_codec(tmp_path: Path, codec: str, least: int) -> None:
    for side in (1, least - 2, least):
        path, config = tmp_path / f"{side}.mp4", VideoConfig(12, codec=codec)
        small = side + side % 2 < least
        told = pytest.raises(VqclipError, match=f"at least {least}x{least}")
        if side > 0:
            with told if small else nullcontext(), video_writer(path, config) as write:
                write(np.full((side, 32, 3), 99, np.uint8), 0)
            assert leftovers(tmp_path) == ([] if small else [path.name])
            path.unlink(missing_ok=True)


@pytest.mark.parametrize("codec", ["h264", "h265", "av1"])
def test_frames_may_be_too_large_for_a_codec(tmp_path: Path, codec: str) -> None:
    with (
        pytest.raises(VqclipError, match="cannot encode frames of 20000x16"),
        video(tmp_path / "a.mp4", codec=codec) as write,
    ):
        write_all(write, 2, (16, 20000))
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("count", mostly_slow([1, 2, 3], 1))
def test_videos_may_be_short(codec: str, count: int, tmp_path: Path) -> None:
    for take in range(6 if codec == "h265" else 1):  # the fault did not occur every time
        with video(path := tmp_path / f"{take}.mp4", codec=codec) as writer:
            write_all(writer, count)
        assert len(iio.imread(path, plugin="pyav")) == count


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    resource = pytest.importorskip("resource")  # missing on Windows
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, usual[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)


@pytest.mark.parametrize("name", ALL)
def test_full_disk_is_one_error(name: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (80, 128, 128, 3)).astype(np.uint8)

    def write() -> None:
        with video(tmp_path / name) as writer:
            for step, image in enumerate(noise):
                writer(image, step)

    with files_up_to(50_000), pytest.raises(OSError, match="File too large"):
        write()
    gc.collect()  # collecting a failed writer must not fail again
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("name", ALL)
def test_leftovers_of_killed_processes_are_removed(name: str, tmp_path: Path) -> None:
    """Files in use, recent files, and files of other videos or with other names are kept."""
    end = Path(name).suffix
    others = [f".b-abcdefgh.part{end}", f".a-ABCDEFGH.part{end}", f".a-now_begu.part{end}"]
    for left in (mine := f".a-abcdefgh.part{end}", *others):
        (tmp_path / left).touch()
        os.utime(tmp_path / left, (0, 0))
    (tmp_path / others[-1]).touch()
    with video_writer(tmp_path / name, VideoConfig(10), overwrite=True) as writer:
        write_all(writer, 1)
        (part,) = set(leftovers(tmp_path)) - {*others}
        assert part != mine
        os.utime(tmp_path / part, (0, 0))
        with video(tmp_path / name) as other:
            write_all(other, 1)
        assert part in leftovers(tmp_path)
    assert leftovers(tmp_path) == sorted([*others, name])


@pytest.mark.parametrize("name", mostly_slow(ALL, "a.mp4"))
def test_killed_process_releases_its_video(name: str, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", VIDEOING, name], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    told = process.stdout.readline()
    process.kill()
    process.communicate(timeout=60)
    assert told == "writing\n"
    (part,) = leftovers(tmp_path)
    os.utime(tmp_path / part, (0, 0))
    with video(tmp_path / name) as writer:
        write_all(writer, 1)
    assert leftovers(tmp_path) == [name]


def test_quality_affects_size(tmp_path: Path) -> None:
    for suffix in ("mp4", "webp"):
        sizes = []
        for quality in (10, 90):
            path = tmp_path / f"{quality}.{suffix}"
            with video_writer(path, VideoConfig(10, quality=quality)) as writer:
                for step in range(5):
                    writer(smooth(step, 128), step)
            sizes.append(path.stat().st_size)
        assert sizes[0] < 0.7 * sizes[1]


def test_gif_plays_back(tmp_path: Path) -> None:
    with video(tmp_path / "a.gif") as writer:
        write_all(writer, 6)
    with Image.open(tmp_path / "a.gif") as gif:
        assert (gif.n_frames, gif.size, gif.info["loop"]) == (6, (47, 33), 0)
        gif.seek(5)
        assert gif.convert("RGB").getpixel((3, 3)) == (200, 128, 55)
    assert durations(tmp_path / "a.gif") == [100] * 6
    assert leftovers(tmp_path) == ["a.gif"]


def test_gif_has_one_palette_of_its_own(tmp_path: Path) -> None:
    with video(tmp_path / "a.gif") as writer:
        for step in range(12):
            writer(smooth(step), step)
    with Image.open(tmp_path / "a.gif") as gif:
        used: set[Any] = set()
        for number in range(12):
            gif.seek(number)
            shown = gif.convert("RGB")
            used |= {tuple(colour) for colour in np.asarray(shown).reshape(-1, 3).tolist()}
            error = np.abs(np.asarray(shown, int) - smooth(number))
            assert error.mean() < 8  # with the web palette, it is above 12
            local_means = error.reshape(8, 8, 8, 8, 3).mean((1, 3))
            assert local_means.max() < 16
    assert 128 < len(used) <= 255
    data = (tmp_path / "a.gif").read_bytes()
    assert data[10] == 0xF7  # a palette of 256 for all frames


def test_still_areas_are_not_written_again(tmp_path: Path) -> None:
    for name, moving in (("still", 0), ("moving", 1)):
        with video(tmp_path / f"{name}.gif") as writer:
            for step in range(10):
                frame = smooth(3).copy()
                frame[:4, step * 4 : step * 4 + 4] = 255
                writer(smooth(step) if moving else frame, step)
    still, moving = ((tmp_path / f"{name}.gif").stat().st_size for name in ("still", "moving"))
    assert still < moving / 3
    with Image.open(tmp_path / "still.gif") as gif:
        gif.seek(9)
        picture = np.asarray(gif.convert("RGB"))
        assert picture[:4, 36:40].min() > 250
        assert np.abs(picture[:4, :36].astype(int) - smooth(3)[:4, :36]).mean() < 12


def test_webp_plays_back(tmp_path: Path) -> None:
    with video(tmp_path / "a.webp", 30) as writer:
        for step in range(6):
            writer(smooth(step), step)
    assert durations(tmp_path / "a.webp") == [33, 34, 33, 33, 34, 33]
    with Image.open(tmp_path / "a.webp") as webp:
        assert (webp.n_frames, webp.size, webp.info["loop"]) == (6, (64, 64), 0)
        webp.seek(5)
        assert np.abs(np.asarray(webp.convert("RGB"), int) - smooth(5)).mean() < 6


@pytest.mark.parametrize(
    ("rate", "expected"),
    [(30, [30, 40, 30, 30, 40, 30]), (100, [20, 20, 20]), (0.5, [2000] * 6)],
)
def test_gif_times_add_up(tmp_path: Path, rate: float, expected: list[int]) -> None:
    with video(tmp_path / "a.gif", rate) as writer:
        write_all(writer, 6)
    assert durations(tmp_path / "a.gif") == expected


def test_equal_frames_are_merged(tmp_path: Path) -> None:
    with video(tmp_path / "a.gif") as writer:
        for step in (0, 0, 0, 1, 2, 2):
            writer(smooth(step), step)
    assert durations(tmp_path / "a.gif") == [300, 100, 200]


@pytest.mark.parametrize(("loop", "gif_again"), [(0, 0), (1, None), (3, 2)])
def test_loops(tmp_path: Path, loop: int, gif_again: int | None) -> None:
    for name in ("a.gif", "a.webp"):
        with video(tmp_path / name, loop=loop) as writer:
            write_all(writer, 2)
    with Image.open(tmp_path / "a.gif") as gif:
        assert gif.info.get("loop") == gif_again
    with Image.open(tmp_path / "a.webp") as webp:
        assert webp.info["loop"] == loop


@pytest.mark.parametrize("name", ALL)
def test_videos_contain_their_settings(tmp_path: Path, name: str) -> None:
    with video(tmp_path / name) as writer:
        write_all(writer, 2)
    assert video_metadata(tmp_path / name) == SETTINGS


@pytest.mark.parametrize("name", ALL)
def test_single_frame_is_a_video(tmp_path: Path, name: str) -> None:
    with video(tmp_path / name) as writer:
        write_all(writer, 1)
    assert iio.imread(tmp_path / name, index=0).shape[2] == 3
    assert video_metadata(tmp_path / name) == SETTINGS


@pytest.mark.parametrize("name", ALL)
def test_foreign_videos_have_no_settings(tmp_path: Path, name: str) -> None:
    with video_writer(tmp_path / name, VideoConfig(5)) as writer:
        write_all(writer, 2)
    with pytest.raises(UsageError, match="contains no vqclip settings"):
        video_metadata(tmp_path / name)
    (tmp_path / name).write_text("no video")
    with pytest.raises(UsageError, match=r"contains no vqclip settings|cannot read"):
        video_metadata(tmp_path / name)
    (tmp_path / name).unlink()
    with pytest.raises(UsageError, match="no such"):
        video_metadata(tmp_path / name)


@pytest.mark.parametrize("name", ALL)
def test_ctrl_c_keeps_the_video_so_far(tmp_path: Path, name: str) -> None:
    def run() -> None:
        with video(tmp_path / name) as writer:
            write_all(writer, 3)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()
    assert leftovers(tmp_path) == [name]
    assert sum(1 for _ in iio.imiter(tmp_path / name)) == 3


@pytest.mark.parametrize("name", ALL)
def test_failure_leaves_no_video(tmp_path: Path, name: str) -> None:
    def run() -> None:
        with video(tmp_path / name) as writer:
            write_all(writer, 1)
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        run()
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("name", ALL)
def test_no_frames_no_video(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="no frame"), video(tmp_path / name):
        pass
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("name", ALL)
def test_ctrl_c_before_the_first_frame_leaves_nothing(tmp_path: Path, name: str) -> None:
    with pytest.raises(KeyboardInterrupt), video(tmp_path / name):
        raise KeyboardInterrupt
    assert leftovers(tmp_path) == []


def test_foreign_videos_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a.gif").write_text("mine")

    def run() -> None:
        with video(tmp_path / "a.gif") as writer:
            write_all(writer, 1)

    with pytest.raises(FileExistsError):
        run()
    assert (tmp_path / "a.gif").read_text() == "mine"


def test_unknown_suffix() -> None:
    with pytest.raises(UsageError, match=r"\.gif, \.mp4, \.webp"):
        video_writer(Path("a.avi"), VideoConfig(10))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rate": 0}, "fps must be"),
        ({"rate": float("nan")}, "fps must be"),
        ({"rate": 5, "quality": 101}, "quality must be"),
        ({"rate": 5, "codec": "divx"}, "unknown codec 'divx'; known: h264"),
        ({"rate": 5, "loop": -1}, "loop must be"),
    ],
)
def test_video_settings_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        VideoConfig(**options)


@pytest.mark.skipif(sys.platform != "linux", reason="policies of threads are read from /proc")
@pytest.mark.parametrize("codec", CODECS)
def test_encoders_run_at_normal_priority(codec: str, tmp_path: Path) -> None:
    """For root, AV1's encoder would make its threads and the calling thread realtime."""
    with video(tmp_path / "a.mp4", codec=codec) as writer:
        write_all(writer, 2)
        threads = [int(path.name) for path in Path("/proc/self/task").iterdir()]
        assert len(threads) > 1
        urgent = {thread for thread in threads if os.sched_getscheduler(thread)}
        assert [Path(f"/proc/self/task/{thread}/comm").read_text() for thread in urgent] == []
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
@pytest.mark.parametrize("kind", ["mp4", "gif"])
def test_memory_does_not_grow_with_the_length(kind: str) -> None:
    """600 noisy frames take hardly more memory than 60, and the video contains all of them."""
    script = Path(__file__).parents[2] / "benchmarks" / "videos.py"
    command = [sys.executable, str(script), "--kinds", kind]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "600 frames 256x256  24.00 s" in result.stdout
