"""File names, results and interruptions of videos, shared by the video commands."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from vqclip.cli.group import INTERRUPTED
from vqclip.cli.terminal import Terminal
from vqclip.config import FileOptions, VideoConfig, VideoOutput
from vqclip.config.setting import read_options

if TYPE_CHECKING:
    from vqclip.video.work_folder import WorkFolder


def video_output(params: Mapping[str, Any], name: str, rate: float) -> VideoOutput:
    """Return the output of a command that can continue its own killed run; see `video_paths`."""
    return VideoOutput(
        video_paths(params, name, continues=True),
        VideoConfig(rate, params["quality"], params["codec"]),
        params["frames"],
        params["overwrite"],
    )


def video_paths(
    params: Mapping[str, Any], name: str, *, continues: bool = False
) -> tuple[Path, ...]:
    """Return the paths of the videos to write, one for each requested format.

    Without --output, the videos are named after ``name``.

    continues: whether the command can continue its own killed run.

    Raises:
        UsageError: a video cannot be written.
    """
    from vqclip.files.atomic import is_taken
    from vqclip.runs.naming import name_videos
    from vqclip.runs.outputs import check_videos

    asked = FileOptions(**read_options(FileOptions, params))

    def taken(video: Path) -> bool:
        return is_taken(video) and not (continues and _is_published(video, asked.frames))

    videos = name_videos(asked, name, taken)
    check_videos(videos, overwrite=asked.overwrite or not any(map(taken, videos)))
    return videos


def _is_published(video: Path, frames: Path | None) -> bool:
    """Return whether a killed run of this command may have published the video."""
    from vqclip.video.about import published, working_folder

    return video.absolute() in map(Path.absolute, published(frames or working_folder(video)))


def report_videos(
    terminal: Terminal,
    videos: Sequence[Path],
    rate: float,
    frames: int,
    size: tuple[int, int],
    interrupted: bool = False,
) -> None:
    """Print the videos, or describe them in a line of JSON.

    Raises:
        typer.Exit: the command was interrupted.
    """
    values = {
        "frames": frames,
        "fps": rate,
        "length": round(frames / rate, 3),
        "size": list(size),
        "seconds": round(terminal.seconds(), 2),
        "interrupted": interrupted,
    }
    about = f"{frames} frames, {frames / rate:.1f} s, {size[0]}x{size[1]}"
    terminal.report(videos, about, values)
    if interrupted:
        terminal.note(f"interrupted after {frames} frames; the video so far was kept: {videos[0]}")
        raise typer.Exit(INTERRUPTED)


def stopped(terminal: Terminal, video: "WorkFolder") -> NoReturn:
    """Print how to continue a video after Ctrl-C.

    Raises:
        typer.Exit: the frames are kept.
        KeyboardInterrupt: there are no frames to keep.
    """
    if not video.path.exists():
        raise KeyboardInterrupt
    terminal.note(
        f"interrupted after {len(video.numbered())} frames; continue with: "
        f"vqclip resume {video.path} "
        f"(for a video of the finished frames: vqclip animate {video.path})"
    )
    raise typer.Exit(INTERRUPTED)
