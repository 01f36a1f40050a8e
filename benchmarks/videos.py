"""Measure whether a long video takes more memory than a short one, and whether it plays.

    python benchmarks/videos.py                        # vqclip animate: 60 and 600 noisy frames
    python benchmarks/videos.py --draw --kinds gif     # vqclip "a red apple" with 599 steps

Every video is made by the real command in its own process, decoded, and compared with the request:
frames, size, seconds. The exit status is 1 if they differ, or if the long video's peak memory is
150 MB higher. The peak is read from /proc, so this needs Linux.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from PIL import Image

RATE = 25
MOST = 150  # MB
# Not ru_maxrss, which starts at the parent process's memory.
_CHILD = """
import sys
from vqclip.cli.app import app
try:
    app(sys.argv[1:])
except SystemExit as end:
    assert not end.code
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM:"))
print(int(peak.split()[1]) / 1024)
"""


@dataclass(frozen=True)
class Video:
    """A decoded video; ``peak`` is the peak memory, in MiB, of the process that made it."""

    path: Path
    peak: float
    frames: int
    size: tuple[int, int]
    seconds: float

    def __str__(self) -> str:
        megabytes = self.path.stat().st_size / 2**20
        width, height = self.size
        return (
            f"{self.path.name:8} {self.frames:4} frames {width}x{height} {self.seconds:6.2f} s "
            f"{megabytes:6.1f} MiB, peak {self.peak:5.0f} MiB"
        )


def noisy_frames(folder: Path, count: int, side: int) -> Path:
    """Write frames that compress badly."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    noise = generator.integers(0, 60, (side, side, 3), dtype=np.uint8)
    for step in range(count):
        frame = np.roll(noise, 3 * step, 1) + np.uint8(step % 190)
        Image.fromarray(frame).save(folder / f"{step:05d}.png", compress_level=1)
    return folder


def words(folder: Path, count: int, kind: str, args: argparse.Namespace) -> list[str]:
    """Return the command that makes a video of ``count`` frames, called video.KIND."""
    if args.draw:
        steps = ["--steps", str(count - 1), "--every", "1", "--init", "random", "--cutouts", "1"]
        return ["a red apple", *steps, "--size", str(args.size), "-o", str(folder / "video.png")]
    frames = noisy_frames(folder / "frames", count, args.size)
    return ["animate", str(frames), "-o", str(folder / f"video.{kind}")]


def make(folder: Path, count: int, kind: str, args: argparse.Namespace) -> Video:
    """Make a video, and decode it."""
    command = [*words(folder, count, kind, args), f"--{kind}", "--fps", str(RATE), "--quiet"]
    child = [sys.executable, "-c", _CHILD, *command]
    out = subprocess.run(child, check=True, stdout=subprocess.PIPE, text=True).stdout
    path = folder / f"video.{kind}"
    shapes, seconds = decoded(path)
    (size,) = set(shapes)
    return Video(path, float(out.split()[-1]), len(shapes), size, seconds)


def decoded(path: Path) -> tuple[list[tuple[int, int]], float]:
    """Return the (width, height) of every frame, and the total duration in seconds."""
    if path.suffix == ".mp4":
        shapes = [frame.shape[1::-1] for frame in iio.imiter(path, plugin="pyav")]
        return shapes, float(iio.immeta(path, plugin="pyav")["duration"])
    sizes, milliseconds = [], 0.0
    with Image.open(path) as video:
        for number in range(getattr(video, "n_frames", 1)):
            video.seek(number)
            video.load()
            sizes.append(video.size)
            milliseconds += video.info["duration"]
    return sizes, milliseconds / 1000


def problems(short: Video, long: Video, args: argparse.Namespace) -> Iterator[str]:
    """Yield the differences from the request, and any excess of memory."""
    for video, count in zip((short, long), args.counts, strict=True):
        # in a run's videos, GIF and WebP merge equal frames
        frames = min(count, video.frames) if args.draw and video.path.suffix != ".mp4" else count
        wanted = (frames, (args.size, args.size), round(count / RATE, 2))
        if (video.frames, video.size, round(video.seconds, 2)) != wanted:
            yield f"not the {wanted} that was asked for: {video}"
    if long.peak - short.peak >= MOST:
        yield f"{long.path.name}: {long.peak - short.peak:.0f} MiB more at the peak"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--counts", type=int, nargs=2, default=(60, 600), help="numbers of frames")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--kinds", nargs="+", default=["mp4", "gif", "webp"])
    parser.add_argument("--draw", action="store_true", help="record a run, not frames on disk")
    args = parser.parse_args()
    found: list[str] = []
    for kind in args.kinds:
        videos = []
        with tempfile.TemporaryDirectory() as place:
            for count in args.counts:
                folder = Path(place) / str(count)
                folder.mkdir()
                videos.append(make(folder, count, kind, args))
                print(videos[-1], flush=True)
            found += problems(videos[0], videos[1], args)
    print("\n".join(found) or "all videos are as requested")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
