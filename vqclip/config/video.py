"""Settings for videos made from frames."""

import math
from dataclasses import dataclass
from pathlib import Path

from vqclip.config import shared
from vqclip.config.checks import FITS, at_least, check_size, finite, one_of
from vqclip.config.setting import TIME, setting, shared_setting
from vqclip.config.typed import Typed
from vqclip.errors import UsageError

CODECS = ("h264", "h265", "vp9", "av1")
INTERPOLATIONS = ("none", "blend", "flow")


@dataclass(frozen=True)
class VideoConfig(Typed):
    """The settings for a video writer.

    rate: frames per second.
    quality: quality of MP4 and WebP videos, from 0 to 100.
    codec: codec for MP4. h264 plays everywhere; vp9 and av1 make smaller videos.
    loop: number of times to play a GIF or WebP; 0 repeats it forever.
    sound: file whose audio is copied into an MP4.
    """

    rate: float
    quality: int = shared_setting(80, shared.QUALITY)
    codec: str = shared_setting("h264", shared.CODEC)
    loop: int = 0
    sound: Path | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_rate(self.rate)
        if not 0 <= self.quality <= 100:
            raise UsageError(f"quality must be from 0 to 100, not {self.quality}")
        one_of("codec", self.codec, CODECS)
        at_least("loop", self.loop, 0)
        if self.loop > 65535:
            raise UsageError(f"loop must be at most 65535, not {self.loop}")


@dataclass(frozen=True)
class TimingConfig(Typed):
    """The timing of a video's frames.

    fps: frames per second. If None, the rate is 30 with interpolation; otherwise, it fits the
        frames into ``length`` or, if that is None, into about eight seconds.
    length: total length in seconds, including holds; None shows every frame once.
    hold_first, hold_last: seconds for which the first and last frames are held.
    bounce: whether to play the frames backwards after the last one.
    ease: a key in :data:`vqclip.media.timing.EASES`; ``in`` shows many early frames and few late
        ones.
    interpolate: ``none``; ``blend``, which mixes neighbouring frames; or ``flow``, which follows
        the motion between them.
    """

    fps: float | None = setting(
        None,
        "--fps",
        panel=TIME,
        help="Frames per second. Default: 30 with --interpolate; otherwise, the rate that fits all "
        "frames into --length or, without --length, a rate between 5 and 30 that makes the video "
        "about 8 seconds long.",
    )
    length: float | None = setting(
        None,
        "--length",
        panel=TIME,
        help="Length of the video in seconds. Default: long enough to show every frame once.",
    )
    hold_first: float = setting(
        0.0, "--hold-first", panel=TIME, help="Seconds to hold the first frame."
    )
    hold_last: float = setting(
        0.0, "--hold-last", panel=TIME, help="Seconds to hold the last frame."
    )
    bounce: bool = setting(
        False,
        "--bounce",
        panel=TIME,
        help="After the last frame, play the video backwards to the first frame.",
    )
    ease: str = setting(
        "linear",
        "--ease",
        panel=TIME,
        help="Pace of the video: linear, in (slow start), out (slow end) or in-out (both).",
    )
    interpolate: str = setting(
        "none",
        "--interpolate",
        panel=TIME,
        help="How to interpolate between frames: none, blend (mix them) or flow (follow the "
        "motion).",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_rate(self.fps)
        if self.length is not None and not 0 < self.length < math.inf:
            raise UsageError(f"length must be a number of seconds above 0, not {self.length}")
        finite("hold first", self.hold_first)
        finite("hold last", self.hold_last)
        one_of("interpolation", self.interpolate, INTERPOLATIONS)


def check_rate(rate: float | None) -> None:
    """Raise UsageError unless the frame rate is None or from 0.1 to 120."""
    if rate is not None and not 0.1 <= rate <= 120:
        raise UsageError(f"fps must be from 0.1 to 120, not {rate:g}")


@dataclass(frozen=True)
class AnimateConfig(Typed):
    """The settings for videos made from frames on disk.

    size: (width, height) in pixels; the frames are fitted to this size by the method ``fit``. None
        keeps their size, which must be the same for all frames.
    quality, codec, loop: see :class:`VideoConfig`; an MP4 contains its frames ``loop`` times, or
        once if ``loop`` is 0.
    """

    timing: TimingConfig = TimingConfig()
    size: tuple[int, int] | None = shared_setting(None, shared.INPUT_SIZE)
    fit: str = shared_setting(FITS[0], shared.FIT)
    quality: int = shared_setting(VideoConfig.quality, shared.QUALITY)
    codec: str = shared_setting(VideoConfig.codec, shared.CODEC)
    loop: int = setting(
        VideoConfig.loop,
        "--loop",
        panel=TIME,
        help="Number of times to play the video. With 0, a GIF or WebP repeats forever, and an MP4 "
        "plays once.",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        VideoConfig(1, self.quality, self.codec, self.loop)
        one_of("fit", self.fit, FITS)
        check_size(self.size)


@dataclass(frozen=True)
class VideoOutput(Typed):
    """The output files of a video.

    videos: paths of .mp4, .gif and .webp files.
    frames: folder in which to save every frame as an image.
    """

    videos: tuple[Path, ...]
    video: VideoConfig
    frames: Path | None = None
    overwrite: bool = False
