"""Videos made from frames on disk."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import lru_cache
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vqclip.config import AnimateConfig, VideoConfig
from vqclip.errors import UsageError
from vqclip.files.version import __version__
from vqclip.media.images import FORMATS, fit_image, image_size, load_image, read_metadata
from vqclip.media.timing import Plan, plan_video
from vqclip.media.writers import VIDEOS, Array, video_writer
from vqclip.video.optical_flow import Between, blend, opencv


def find_frames(sources: Sequence[str]) -> list[Path]:
    """Return the paths of the images in ``sources``, which are files or folders.

    The paths in each folder are sorted by name, with numbers in numerical order. If there are no
    folders, the files are sorted in the same way.

    Raises:
        UsageError: a source does not exist or a folder has no images.
    """
    frames: list[Path] = []
    for source in map(Path, sources):
        if source.is_dir():
            inside = [p for p in source.iterdir() if p.suffix.lower() in FORMATS]
            inside = [p for p in inside if p.is_file() and not p.name.startswith(".")]
            inside = [p for p in inside if not _is_video(p)]
            if not inside:
                raise UsageError(f"no images in {source}: {', '.join(FORMATS)}")
            frames += sorted(inside, key=natural)
        elif source.is_file():
            frames.append(source)
        else:
            raise UsageError(f"no such frame or folder of frames: {source}")
    return sorted(frames, key=natural) if all(map(Path.is_file, map(Path, sources))) else frames


def _is_video(path: Path) -> bool:
    """Return whether a GIF or WebP is animated, which makes it a video rather than a frame."""
    if path.suffix.lower() not in VIDEOS:
        return False
    try:
        with Image.open(path) as image:
            return getattr(image, "n_frames", 1) > 1
    except OSError:
        return False  # reading it as a frame raises the error


def natural(path: Path) -> list[tuple[int, int, str]]:
    """Return a key that sorts frame-2 before frame-10."""
    parts = re.findall(r"\d+|\D+", path.name)
    return [(0, int(p), "") if p.isdecimal() else (1, 0, p.lower()) for p in parts]


class Animation:
    """A video made from frames on disk; iterating over it yields the frames and writes no files."""

    def __init__(self, sources: Sequence[str], config: AnimateConfig) -> None:
        self.config = config
        self.paths = find_frames(sources)
        self.plan: Plan = plan_video(len(self.paths), config.timing)
        self.video = VideoConfig(self.plan.rate, config.quality, config.codec, config.loop)
        self.size = config.size or _common_size(self.paths)
        if config.timing.interpolate == "flow":
            opencv()
        self._load = lru_cache(4)(self._read)
        self._between = lru_cache(1)(lambda n: Between(self._load(n), self._load(n + 1)))

    def __len__(self) -> int:
        return len(self.plan.positions)

    def __iter__(self) -> Iterator[Array]:
        return map(self.frame, self.plan.positions)

    def frame(self, position: float) -> Array:
        """Return the frame at a position, (h, w, 3) uint8, interpolated as configured."""
        number = int(position)
        time = position - number
        if time < 1e-6:
            return self._load(number)
        if self.config.timing.interpolate == "flow":
            return self._between(number)(time)
        return blend(self._load(number), self._load(number + 1), time)

    def _read(self, number: int) -> Array:
        return np.asarray(fit_image(load_image(self.paths[number]), self.size, self.config.fit))

    def metadata(self) -> dict[str, Any]:
        """Return the settings recorded in the last frame, if any, and the settings of the video."""
        try:
            known: Mapping[str, Any] = read_metadata(self.paths[-1])
        except UsageError:
            known = {"prompt": "", "version": __version__}
        video = {**asdict(self.config), "frames": len(self.paths), "fps": self.plan.rate}
        return {**known, "animation": video}

    def write(
        self,
        videos: Sequence[Path],
        on_frame: Callable[[int, Array], None],
        *,
        overwrite: bool = False,
    ) -> None:
        """Write all videos simultaneously; Ctrl-C keeps the frames written so far.

        on_frame: called with the number of frames done and the latest frame.
        """
        metadata, plays = self.metadata(), self.plays(videos)
        with ExitStack() as stack:
            writers = []
            for path in videos:
                manager = video_writer(path, self.video, metadata, overwrite=overwrite)
                writers.append((stack.enter_context(manager), _plays(path, self.config.loop)))
            for number, frame in enumerate(chain.from_iterable(repeat(self, plays))):
                for write, times in writers:
                    if number < times * len(self):
                        write(frame, number)
                on_frame(number + 1, frame)

    def plays(self, videos: Sequence[Path]) -> int:
        """Return how many times the frames must be played to write all videos."""
        return max(_plays(path, self.config.loop) for path in videos)


def _plays(path: Path, loop: int) -> int:
    """Return how many times to write a video's frames.

    An MP4 cannot be marked as looping, so its frames are written once per loop.
    """
    return max(1, loop) if path.suffix.lower() == ".mp4" else 1


def _common_size(paths: Sequence[Path]) -> tuple[int, int]:
    """Return the common (width, height) of all images, without decoding them.

    Raises:
        UsageError: the sizes differ, or a file is not an image.
    """
    sizes: dict[tuple[int, int], Path] = {}
    for path in paths:
        sizes.setdefault(image_size(path), path)
    if len(sizes) > 1:
        (a, first), (b, second), *_ = sizes.items()
        raise UsageError(f"{first} is {a[0]}x{a[1]}, {second} is {b[0]}x{b[1]}: choose a `size`")
    return next(iter(sizes))
