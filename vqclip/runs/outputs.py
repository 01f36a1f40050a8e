"""A run's output files, and checks that they can be written."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from vqclip.config import OutputConfig
from vqclip.errors import UsageError, cannot_write
from vqclip.files.atomic import is_special, is_taken, target_of
from vqclip.files.environment import user_path
from vqclip.media.images import image_format
from vqclip.media.writers import frame_path, video_format


def shown_steps(output: OutputConfig, steps: int) -> list[int]:
    """Return the steps whose frames are saved: every ``output.every`` steps, and the last one."""
    return sorted({*range(0, steps + 1, output.every), steps})


def files(output: OutputConfig, steps: int) -> Iterator[Path]:
    """Yield every path written by a run of ``steps`` steps, image first."""
    single = (output.path, output.codes, output.checkpoint, *output.videos)
    yield from (path for path in single if path)
    if output.frames:
        yield from (frame_path(output.frames, step) for step in shown_steps(output, steps))


def check_outputs(output: OutputConfig, steps: int) -> None:
    """Check, before any work, that all output files can be written.

    Raises:
        UsageError: a file exists, a folder is not writable, or a suffix is unknown.
    """
    image_format(output.path)
    for path in output.videos:
        video_format(path)
        if path == output.path:
            raise UsageError(
                f"{path} would be both the image and the video: choose a .png for the image"
            )
    check_files(list(files(output, steps)), overwrite=output.overwrite)


def check_videos(videos: Sequence[Path], *, overwrite: bool) -> None:
    """Check that videos can be written.

    Raises:
        UsageError: a file exists, a folder is not writable, or a suffix is unknown.
    """
    for path in videos:
        video_format(path)
    check_files(videos, overwrite=overwrite)


def check_files(paths: Sequence[Path], *, overwrite: bool) -> None:
    """Check that files can be written.

    Raises:
        UsageError: a file exists or a folder is not writable.
    """
    for path in map(user_path, paths):
        if path.is_dir():
            raise UsageError(f"{path} is a folder: choose a file")
        if is_special(path):
            raise UsageError(f"{path} is a pipe or device: choose a file")
        if not overwrite and is_taken(path):
            raise UsageError(f"{path} exists: choose another name, or add `overwrite`")
    for folder in sorted({target_of(path).absolute().parent for path in paths}):
        _check_writable(folder)


def _check_writable(folder: Path) -> None:
    """Create a temporary file to check that a folder is writable.

    Permission bits are unreliable for root and on read-only disks.
    """
    try:
        nearest = next(parent for parent in (folder, *folder.parents) if parent.exists())
        with tempfile.TemporaryFile(dir=nearest):  # unnamed on Linux, so a kill leaves nothing
            pass
    except OSError as error:
        raise cannot_write(folder, error) from error
