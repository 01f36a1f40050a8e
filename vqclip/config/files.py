"""Settings for input and output files: codes, images and videos."""

from dataclasses import dataclass
from pathlib import Path

from vqclip.config import shared
from vqclip.config.checks import DEFAULT, FITS, at_least, check_size, one_of
from vqclip.config.generate import GenerateConfig
from vqclip.config.setting import OUTPUT, setting, shared_setting
from vqclip.config.typed import Typed
from vqclip.errors import UsageError


@dataclass(frozen=True)
class CodesConfig(Typed):
    """The settings for ``reconstruct`` and ``decode``.

    source: path or URL of the image, or path of the ``.npz`` file of codes.
    size: (width, height) in pixels; the image is first fitted to this size by the method ``fit``.
        None keeps the image's size.
    """

    source: str
    size: tuple[int, int] | None = shared_setting(None, shared.INPUT_SIZE)
    fit: str = shared_setting(GenerateConfig.fit, shared.FIT)
    vqgan: str = shared_setting(DEFAULT, shared.VQGAN)
    vqgan_config: str | None = shared_setting(None, shared.VQGAN_CONFIG)
    device: str = shared_setting(GenerateConfig.device, shared.DEVICE)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_size(self.size)
        one_of("fit", self.fit, FITS)


@dataclass(frozen=True)
class OutputConfig(Typed):
    """The output files of a run; these settings do not affect the image.

    path: the image file.
    every: number of steps between saved frames.
    frames, videos: a folder for the saved frames, and videos of them (.gif, .mp4 or .webp).
    fps: frames per second of the videos; None chooses a rate from 5 to 30 that makes the videos
        about eight seconds long.
    codes: ``.npz`` file for the code indices of the result.
    checkpoint: file from which the run can be resumed; see :mod:`vqclip.runs.checkpoint`.
    """

    path: Path
    every: int = 5
    frames: Path | None = None
    videos: tuple[Path, ...] = ()
    fps: float | None = None
    codes: Path | None = None
    checkpoint: Path | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least("every", self.every, 1)
        if self.fps is not None and not 1 <= self.fps <= 120:
            raise UsageError(f"fps must be from 1 to 120, not {self.fps}")


VIDEO_KINDS = ("gif", "mp4", "webp")


@dataclass(frozen=True)
class FileOptions:
    """The output files requested by the user, before their names are chosen.

    output: path of the image, or a pattern such as ``{prompt}-{seed}.png``; None chooses an unused
        name.
    every, fps: see :class:`OutputConfig`.
    """

    output: str | None = setting(
        None,
        *("--output", "-o"),
        panel=OUTPUT,
        metavar="FILE",
        help="Image file to write (.png, .jpg or .webp), or - for standard output. The name may "
        "contain {prompt}, {seed}, {steps}, {size} and {n}. Default: a name based on the "
        "prompt and the seed.",
    )
    overwrite: bool = setting(False, "--overwrite", panel=OUTPUT, help="Replace existing files.")
    frames: Path | None = setting(
        None,
        "--frames",
        panel=OUTPUT,
        metavar="DIR",
        help="Save frames in this folder.",
    )
    every: int = setting(
        OutputConfig.every,
        *("--every", "-e"),
        panel=OUTPUT,
        help="Save a frame every N steps (or codes).",
    )
    gif: bool = setting(False, "--gif", panel=OUTPUT, help="Save an animated GIF.")
    mp4: bool = setting(False, "--mp4", panel=OUTPUT, help="Save an MP4 video.")
    webp: bool = setting(False, "--webp", panel=OUTPUT, help="Save an animated WebP.")
    fps: float | None = setting(
        None,
        "--fps",
        panel=OUTPUT,
        help="Frame rate of videos, in frames per second. Default: a rate between 5 and 30 that "
        "makes the video about 8 seconds long; short runs give shorter videos.",
    )
    save_codes: bool = setting(
        False,
        "--save-codes",
        panel=OUTPUT,
        help="Save the codes as an .npz file, for use with --init or `vqclip decode`.",
    )
    checkpoint: bool = setting(
        False,
        "--checkpoint",
        panel=OUTPUT,
        help="Write a checkpoint that `vqclip resume` can continue from.",
    )

    @property
    def video_suffixes(self) -> tuple[str, ...]:
        """The suffixes of the requested videos, such as ``.gif``."""
        return tuple(f".{kind}" for kind in VIDEO_KINDS if getattr(self, kind))
