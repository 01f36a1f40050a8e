"""The record of a video in progress: ``about.json`` in its frame folder."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from vqclip.config import VideoConfig, VideoOutput
from vqclip.errors import CheckpointError, one_line
from vqclip.files.atomic import replacing

ABOUT_FILE = "about.json"
# A run's current stage: generating frames, publishing videos, or removing temporary files.
VideoStage = Literal["frames", "videos", "whole"]
_VIDEO = ("rate", "quality", "codec", "loop")


def folder_of(output: VideoOutput) -> Path:
    """Return the frame folder: the requested one, or else a temporary one."""
    return output.frames or working_folder(output.videos[0])


def working_folder(video: Path) -> Path:
    """Return the folder that holds a video's frames until the video is complete."""
    return video.with_name(f"{video.stem}.frames")


def is_unfinished(folder: Path) -> bool:
    """Return whether a folder belongs to a video in progress."""
    return (folder / ABOUT_FILE).is_file()


def is_whole(folder: Path, output: VideoOutput) -> bool:
    """Return whether a run in ``folder`` was killed after publishing the videos of ``output``."""
    about = _read(folder)
    return about.get("stage") == "whole" and about["output"] == _output_values(output, folder)


def published(folder: Path) -> tuple[Path, ...]:
    """Return the videos that a killed run in this folder may have published."""
    try:
        videos = read_about(folder)[1].videos
    except CheckpointError:
        return ()
    return videos if _read(folder).get("stage", "frames") != "frames" else ()


def read_about(folder: Path) -> tuple[dict[str, Any], VideoOutput]:
    """Return the settings and output files of the video whose frames are in ``folder``.

    Raises:
        CheckpointError: about.json is damaged.
    """
    try:
        about = _read(folder)
        return dict(about["settings"]), _read_output(about["output"], folder)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{folder / ABOUT_FILE} is damaged: {one_line(error, 150)}"
        ) from error


def write_about(
    folder: Path, settings: Mapping[str, Any], output: VideoOutput, stage: VideoStage
) -> None:
    """Write the settings, output files and stage of the video whose frames are in ``folder``.

    Raises:
        OSError: the file cannot be written.
    """
    values = {"settings": settings, "output": _output_values(output, folder), "stage": stage}
    with replacing(folder / ABOUT_FILE, overwrite=True) as temporary:
        temporary.write_text(json.dumps(values), encoding="utf-8")


def _read(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / ABOUT_FILE).read_text(encoding="utf-8")))


def _output_values(output: VideoOutput, folder: Path) -> dict[str, Any]:
    """Return ``output`` with paths relative to ``folder``, so that the folder can be moved."""
    video = {name: getattr(output.video, name) for name in _VIDEO}
    videos = [os.path.relpath(path, folder) for path in output.videos]
    kept = {"frames": output.frames is not None, "overwrite": output.overwrite}
    return {"films": videos, "film": video, **kept}


def _read_output(values: Mapping[str, Any], folder: Path) -> VideoOutput:
    videos = tuple(Path(os.path.normpath(folder / name)) for name in values["films"])
    video = VideoConfig(**{name: values["film"][name] for name in _VIDEO})
    frames = folder if values["frames"] else None
    return VideoOutput(videos, video, frames, overwrite=values["overwrite"] is True)
