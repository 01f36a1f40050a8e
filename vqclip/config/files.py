"""The settings of what goes in and comes out: codes, pictures, films."""

from dataclasses import dataclass
from pathlib import Path

from vqclip.config.checks import DEFAULT, FITS, at_least, check_size, one_of
from vqclip.config.generate import GenerateConfig
from vqclip.errors import UsageError


@dataclass(frozen=True)
class CodesConfig:
    """What a picture, or codes, are sent through.

    source: the picture, a path or URL, or the ``.npz`` of codes.
    size: (width, height) that a picture takes first, as ``fit`` says; None is its own.
    """

    source: str
    size: tuple[int, int] | None = None
    fit: str = GenerateConfig.fit
    vqgan: str = DEFAULT
    vqgan_config: str | None = None
    device: str = GenerateConfig.device

    def __post_init__(self) -> None:
        if self.size is not None:
            check_size(self.size)
        one_of("fit", self.fit, FITS)


@dataclass(frozen=True)
class OutputConfig:
    """The files that a run is to leave; none of it changes a byte of the picture.

    path: the picture.
    every: a frame each so many steps, for ``frames`` (a folder) and ``films`` (.gif, .mp4, .webp).
    fps: frames a second of the films; None shows all in about eight seconds.
    codes: the result's code indices, as ``.npz``.
    checkpoint: from which the run can go on: see :mod:`vqclip.runs.checkpoint`.
    """

    path: Path
    every: int = 5
    frames: Path | None = None
    films: tuple[Path, ...] = ()
    fps: float | None = None
    codes: Path | None = None
    checkpoint: Path | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        at_least("every", self.every, 1)
        if self.fps is not None and not 1 <= self.fps <= 120:
            raise UsageError(f"fps must be 1 to 120, not {self.fps}")
