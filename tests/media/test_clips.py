from collections import Counter
from pathlib import Path
from typing import Any

import av
import imageio.v3 as iio
import numpy as np
import pytest
from PIL import Image

from tests.conftest import mostly_slow
from vqclip.config import VideoConfig
from vqclip.errors import UsageError, VqclipError
from vqclip.media.writers import open_clip, video_metadata, video_writer


def frame(number: int) -> Any:
    """Return frames of increasing brightness, with a white upper left corner."""
    image = np.full((32, 48, 3), 20 * number % 256, np.uint8)
    image[:8, :16] = 255
    return image


def video(path: Path, count: int = 8, rate: float = 8, sound: Path | None = None) -> Path:
    with video_writer(path, VideoConfig(rate, sound=sound), {"prompt": "x"}) as write:
        for number in range(count):
            write(frame(number), number)
    return path


def tone(path: Path, codec: str, seconds: float = 2.0) -> Path:
    """Write a second or two of a tone."""
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=48000)
        time = np.arange(int(48000 * seconds)) / 48000
        samples = (np.sin(440 * 2 * np.pi * time) * 9000).astype(np.int16)[None]
        audio = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        audio.sample_rate = 48000
        audio.pts = 0
        for packet in [*stream.encode(audio), *stream.encode(None)]:
            container.mux(packet)
    return path


def loudness(path: Path) -> tuple[str, float, float]:
    """Return the codec, the seconds and the level of a video's sound."""
    with av.open(path) as container:
        stream = container.streams.audio[0]
        levels, samples = [], 0
        for part in container.decode(stream):
            values = part.to_ndarray().astype(float)
            levels.append(np.abs(values).mean())
            samples += part.samples
        return (
            stream.codec_context.codec.canonical_name,
            samples / stream.rate,
            float(np.mean(levels)),
        )


def test_clip_is_read_frame_by_frame(tmp_path: Path) -> None:
    clip = open_clip(video(tmp_path / "a.mp4"))
    assert (clip.rate, clip.frames, clip.size, clip.turns) == (8, 8, (48, 32), 0)
    shown = list(clip)
    assert len(shown) == 8
    assert all(abs(f[20:, 20:].mean() - 20 * n) < 4 for n, f in enumerate(shown))


def test_another_rate_keeps_the_duration(tmp_path: Path) -> None:
    clip = open_clip(video(tmp_path / "a.mp4"), 4)
    assert clip.frames == 4
    assert len(list(clip)) == 4


def test_phone_videos_are_turned_upright(tmp_path: Path) -> None:
    path = video(tmp_path / "a.mp4")
    data = path.read_bytes()
    clockwise = [0, 1 << 16, 0, -(1 << 16), 0, 0, 32 << 16, 0, 1 << 30]  # QuickTime's matrix
    start = data.index(b"tkhd") + 4 + 40
    matrix = np.array(clockwise, ">i4").tobytes()
    path.write_bytes(data[:start] + matrix + data[start + 36 :])
    clip = open_clip(path)
    assert (clip.size, clip.turns) == ((32, 48), 1)
    first = next(iter(clip))
    assert first.shape == (48, 32, 3)
    assert first[:16, 24:].mean() > 240  # the corner moved from the upper left to the upper right


@pytest.mark.parametrize(
    ("name", "codec", "kept"),
    [("t.m4a", "aac", "aac"), ("t.mp3", "libmp3lame", "mp3"), ("t.wav", "pcm_s16le", "aac")],
)
def test_sound_is_copied(tmp_path: Path, name: str, codec: str, kept: str) -> None:
    source = tone(tmp_path / name, codec)
    path = video(tmp_path / "a.mp4", sound=source)
    found, seconds, level = loudness(path)
    assert found == kept
    assert seconds == pytest.approx(1.0, abs=0.1)  # as long as the video
    assert level > 0.1
    assert len(iio.imread(path, plugin="pyav")) == 8
    assert iio.immeta(path, plugin="pyav")["duration"] == pytest.approx(1)
    assert video_metadata(path) == {"prompt": "x"}
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([name, "a.mp4"])


def test_silent_source_is_accepted(tmp_path: Path) -> None:
    path = video(tmp_path / "a.mp4", sound=video(tmp_path / "b.mp4"))
    assert len(list(open_clip(path))) == 8


def test_files_that_are_not_videos(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("nothing")
    with pytest.raises(UsageError, match=r"cannot read .* as a video"):
        open_clip(tmp_path / "a.mp4")
    with pytest.raises(UsageError, match="no such video"):
        open_clip(tmp_path / "b.mp4")
    with pytest.raises(UsageError, match=r"cannot read .* as a video"):
        open_clip(tone(tmp_path / "t.wav", "pcm_s16le"))


def late(path: Path, start: float) -> Path:
    """Write a two-second video that starts at time ``start``, silent for the first second."""
    with av.open(path, "w") as container:
        shown = container.add_stream("libx264", rate=8)
        shown.width, shown.height, shown.pix_fmt = 48, 32, "yuv420p"
        heard = container.add_stream("aac", rate=48000)
        for number in range(16):
            picture = av.VideoFrame.from_ndarray(frame(number % 8), format="rgb24")
            picture.pts = number + round(8 * start)
            container.mux(shown.encode(picture))
        container.mux(shown.encode(None))
        time = np.arange(48000 * 2) / 48000
        samples = (np.sin(440 * 2 * np.pi * time) * 9000 * (time >= 1)).astype(np.float32) / 32768
        audio = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        audio.sample_rate, audio.pts = 48000, round(48000 * start)
        container.mux(heard.encode(audio))
        container.mux(heard.encode(None))
    return path


@pytest.mark.parametrize("start", [0.0, 1.5])
@pytest.mark.parametrize("suffix", [".mkv", ".ts"])
def test_sound_stays_in_sync_for_any_start_time(suffix: str, start: float, tmp_path: Path) -> None:
    source = late(tmp_path / f"late{suffix}", start)
    joined = video(tmp_path / "b.mp4", count=16, sound=source)
    with av.open(joined) as container:
        levels = {
            round(float(part.pts * part.time_base), 2): float(np.abs(part.to_ndarray()).mean())
            for part in container.decode(audio=0)
        }
    first = min(time for time, level in levels.items() if level > 0.05)
    assert first == pytest.approx(1, abs=0.15)
    assert max(levels) > 1.7


def test_damaged_video_is_reported(tmp_path: Path) -> None:
    source = late(tmp_path / "a.mkv", 0)
    data = bytearray(source.read_bytes())
    middle = len(data) // 3
    data[middle : middle + 2000] = bytes(2000)
    source.write_bytes(data)
    try:
        count = len(list(open_clip(source)))
    except VqclipError as error:
        assert "damaged" in str(error) or "cannot read" in str(error)
    else:
        assert count > 0  # FFmpeg could recover


@pytest.mark.parametrize(
    ("codec", "side"),
    mostly_slow([("h264", 64), ("h264", 160), ("h265", 40), ("h265", 64)], ("h264", 64)),
)
def test_same_frames_give_the_same_video(codec: str, side: int, tmp_path: Path) -> None:
    """All eight must be equal; of x265's, which vary in 1 of 15 on a busy machine, most must."""
    noise = np.random.default_rng(0).integers(0, 255, (9, 9, 3)).astype(np.uint8)
    picture = Image.fromarray(noise).resize((2 * side, side), Image.Resampling.BICUBIC)
    wide = np.asarray(picture)
    videos: Counter[bytes] = Counter()
    for number in range(8):
        junk = np.empty(1000 * number + 17, np.uint8)  # moves the encoder's memory
        with video_writer(tmp_path / f"{number}.mp4", VideoConfig(12, codec=codec)) as write:
            for step in range(24):
                write(wide[:, 2 * step : 2 * step + side].copy(), step)
        videos[(tmp_path / f"{number}.mp4").read_bytes()] += 1
        del junk
    assert max(videos.values()) >= (5 if codec == "h265" else 8)
