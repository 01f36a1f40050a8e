"""How frames become a film."""

import math
from dataclasses import dataclass
from pathlib import Path

from vqclip.config.checks import FITS, at_least, check_size, finite, one_of
from vqclip.errors import UsageError

CODECS = ("h264", "h265", "vp9", "av1")
INTERPOLATIONS = ("none", "blend", "flow")


@dataclass(frozen=True)
class FilmConfig:
    """What a writer of films is told.

    rate: frames a second.
    quality: 0 to 100, of MP4 and WebP.
    codec: of MP4; h264 plays everywhere, vp9 and av1 make smaller films.
    loop: how often a GIF or WebP plays; 0 is for ever.
    sound: a file whose sound an MP4 takes along.
    """

    rate: float
    quality: int = 80
    codec: str = "h264"
    loop: int = 0
    sound: Path | None = None

    def __post_init__(self) -> None:
        check_rate(self.rate)
        if not 0 <= self.quality <= 100:
            raise UsageError(f"quality must be 0 to 100, not {self.quality}")
        one_of("codec", self.codec, CODECS)
        at_least("loop", self.loop, 0)
        if self.loop > 65535:
            raise UsageError(f"loop must be at most 65535, not {self.loop}")


@dataclass(frozen=True)
class TimingConfig:
    """Which frame a film shows when.

    fps: frames a second; None is what ``length`` or about eight seconds ask for.
    length: seconds in all, holds among them; None shows every frame once.
    hold_first, hold_last: seconds that the first and the last frame stay.
    bounce: back to the first frame after the last.
    ease: of :data:`vqclip.media.timing.EASES`: ``in`` shows many early frames and few late ones.
    interpolate: none; blend, a mixture of two frames; flow, which moves their parts.
    """

    fps: float | None = None
    length: float | None = None
    hold_first: float = 0.0
    hold_last: float = 0.0
    bounce: bool = False
    ease: str = "linear"
    interpolate: str = "none"

    def __post_init__(self) -> None:
        if self.fps is not None:
            check_rate(self.fps)
        if self.length is not None and not 0 < self.length < math.inf:
            raise UsageError(f"length must be a number of seconds above 0, not {self.length}")
        finite("hold first", self.hold_first)
        finite("hold last", self.hold_last)
        one_of("interpolation", self.interpolate, INTERPOLATIONS)


def check_rate(rate: float) -> None:
    """Refuse a frame rate that no film has."""
    if not 0.1 <= rate <= 120:
        raise UsageError(f"fps must be 0.1 to 120, not {rate:g}")


@dataclass(frozen=True)
class AnimateConfig:
    """How frames on the disk become films.

    size: (width, height), which every frame takes as ``fit`` says; None is their own.
    quality, codec, loop: see :class:`FilmConfig`; an MP4 is ``loop`` times as long.
    """

    timing: TimingConfig = TimingConfig()
    size: tuple[int, int] | None = None
    fit: str = FITS[0]
    quality: int = FilmConfig.quality
    codec: str = FilmConfig.codec
    loop: int = FilmConfig.loop

    def __post_init__(self) -> None:
        FilmConfig(1, self.quality, self.codec, self.loop)
        one_of("fit", self.fit, FITS)
        if self.size is not None:
            check_size(self.size)


@dataclass(frozen=True)
class FilmOutput:
    """The files that a film is to leave.

    films: .mp4, .gif and .webp. frames: a folder for every frame as a picture, too.
    """

    films: tuple[Path, ...]
    film: FilmConfig
    frames: Path | None = None
    overwrite: bool = False
