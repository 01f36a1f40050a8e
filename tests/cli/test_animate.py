import json
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest
from PIL import Image

from tests.cli.runner import refused, vqclip
from tests.conftest import leftovers
from vqclip.media.images import save_image
from vqclip.media.writers import video_metadata


def shade(number: int) -> int:
    return 20 * number


@pytest.fixture
def frames() -> Path:
    """Write eleven frames of increasing brightness whose names must be sorted by number."""
    folder = Path("steps")
    for number in range(11):
        settings = {"prompt": "a <red> äpfelchen", "settings": {"seed": 7}, "step": number}
        picture = Image.new("RGB", (32, 24), (shade(number), 60, 60))
        save_image(picture, folder / f"f{number}.png", settings)
    (folder / "notes.txt").write_text("not a frame")
    (folder / ".hidden.png").write_text("not a frame either")
    return folder


def reds(path: str) -> list[int]:
    """Return the mean red of every frame."""
    options: dict[str, Any] = {"plugin": "pyav"} if path.endswith("mp4") else {"mode": "RGB"}
    return [round(float(frame[..., 0].mean())) for frame in iio.imiter(path, **options)]


def test_folder_becomes_a_video(frames: Path) -> None:
    result = vqclip("animate", "steps", "--fps", "4")
    assert result.stdout == "steps.mp4  (11 frames, 2.8 s, 32x24)\n"
    shown = reds("steps.mp4")
    assert len(shown) == 11
    assert all(abs(red - shade(n)) < 6 for n, red in enumerate(shown))
    about = iio.immeta("steps.mp4", plugin="pyav")
    assert about["duration"] == pytest.approx(11 / 4)


def test_frame_and_video_settings_are_kept(frames: Path) -> None:
    vqclip("animate", "steps", "--gif", "--mp4", "--webp", "--ease", "in")
    for name in ("steps.gif", "steps.mp4", "steps.webp"):
        settings = video_metadata(Path(name))
        assert settings["prompt"] == "a <red> äpfelchen"
        assert settings["settings"] == {"seed": 7}
        assert settings["animation"]["timing"]["ease"] == "in"
        assert settings["animation"]["frames"] == 11


def test_length_holds_and_bounces(frames: Path) -> None:
    times = ["--fps", "10", "--length", "4", "--hold-last", "1", "--bounce"]
    result = vqclip("animate", "steps", "-o", "out/a.gif", "--mp4", *times, "--json")
    values = json.loads(result.stdout)
    assert values["files"] == ["out/a.gif", "out/a.mp4"]
    assert (values["frames"], values["length"], values["size"]) == (40, 4.0, [32, 24])
    assert len(reds("out/a.mp4")) == 40
    with Image.open("out/a.gif") as gif:
        total = 0
        for number in range(gif.n_frames):
            gif.seek(number)
            gif.load()
            total += gif.info["duration"]
    assert total == 4000


def test_blending_mixes_neighbouring_frames(frames: Path) -> None:
    vqclip("animate", "steps", "--webp", "--fps", "10", "--length", "2.1", "--interpolate", "blend")
    shown = reds("steps.webp")
    assert len(shown) == 21
    assert all(abs(red - shade(n) / 2) < 5 for n, red in enumerate(shown))


def test_flow_moves_content_between_frames() -> None:
    y, x = np.mgrid[:96, :96]
    for number in range(3):
        blob = 255 * np.exp(-((x - 30 - 12 * number) ** 2 + (y - 48) ** 2) / 100)
        picture = np.repeat(blob[..., None], 3, 2).astype(np.uint8)
        save_image(Image.fromarray(picture), Path(f"{number}.png"))
    names = ["0.png", "1.png", "2.png"]
    for how in ("flow", "blend"):
        time = ["--fps", "5", "--length", "1", "--interpolate", how]
        vqclip("animate", *names, "-o", f"{how}.webp", *time, "--quality", "95")
    brightest = {
        how: max(iio.imread(f"{how}.webp", index=1, mode="RGB")[48, :, 0].astype(int))
        for how in ("flow", "blend")
    }
    assert brightest["flow"] > 235 > brightest["blend"]


def test_mp4_contains_every_loop(frames: Path) -> None:
    result = vqclip("animate", "steps", "--mp4", "--gif", "--loop", "3", "--json")
    assert json.loads(result.stdout)["frames"] == 33
    assert len(reds("steps.mp4")) == 33
    with Image.open("steps.gif") as gif:
        assert (gif.n_frames, gif.info["loop"]) == (11, 2)


def test_frames_of_different_sizes_need_a_size(frames: Path) -> None:
    Image.new("RGB", (64, 64)).save("steps/f20.png")
    line = refused("animate", "steps")
    assert "f0.png is 32x24" in line
    assert "f20.png is 64x64: choose a --size" in line
    vqclip("animate", "steps", "--size", "30x20")
    assert iio.improps("steps.mp4", plugin="pyav").shape == (12, 20, 30, 3)


def test_nothing_is_overwritten(frames: Path) -> None:
    vqclip("animate", "steps", "--webp")
    vqclip("animate", "steps", "--webp", "--gif", "--quiet")
    assert [n for n in leftovers(Path()) if "/" not in n] == [
        "steps-2.gif",
        "steps-2.webp",
        "steps.webp",
    ]
    assert "exists" in refused("animate", "steps", "-o", "steps.webp")
    vqclip("animate", "steps", "-o", "steps.webp", "--overwrite")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "no such frame or folder of frames: nowhere"),
        (["empty"], "no images in empty"),
        (["steps", "-o", "a.avi"], "must end in one of .gif, .mp4, .webp"),
        (["steps", "-o", "steps"], "must end in"),
        (["steps", "--fps", "500"], "fps must be"),
        (["steps", "--ease", "inn"], "unknown ease 'inn'"),
        (["steps", "--codec", "divx"], "unknown codec"),
        (["steps", "--length", "1", "--hold-first", "2"], "too short for its held frames"),
        (["steps/notes.txt"], "cannot read steps/notes.txt as an image"),
        (["steps", "--size", "big"], "cannot read the size"),
    ],
)
def test_invalid_input_gives_one_line(frames: Path, words: list[str], message: str) -> None:
    Path("empty").mkdir()
    assert message in refused("animate", *words)


def test_ctrl_c_keeps_the_video_so_far(frames: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vqclip.video.animation import Animation

    real = Animation.frame

    def interrupted(self: Animation, position: float) -> Any:
        if position == 5:
            raise KeyboardInterrupt
        return real(self, position)

    monkeypatch.setattr(Animation, "frame", interrupted)
    result = vqclip("animate", "steps", "--gif", code=130)
    assert "the video so far was kept" in result.stderr
    assert len(reds("steps.gif")) == 5
