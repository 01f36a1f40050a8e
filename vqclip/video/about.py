"""The record of a video in progress: ``about.json`` in its frame folder."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from vqclip.config import FilmConfig, FilmOutput
from vqclip.errors import CheckpointError, one_line
from vqclip.files.atomic import replacing

ABOUT_FILE = "about.json"
# A run's current stage: generating frames, publishing videos, or removing temporary files.
VideoStage = Literal["frames", "videos", "whole"]
_FILM = ("rate", "quality", "codec", "loop")


def folder_of(output: FilmOutput) -> Path:
    """Return the frame folder: the requested one, or else a temporary one."""
    return output.frames or working_folder(output.films[0])


def working_folder(film: Path) -> Path:
    """Return the folder that holds a video's frames until the video is complete."""
    return film.with_name(f"{film.stem}.frames")


def is_unfinished(folder: Path) -> bool:
    """Return whether a folder belongs to a video in progress."""
    return (folder / ABOUT_FILE).is_file()


def is_whole(folder: Path, output: FilmOutput) -> bool:
    """Return whether a run in this folder was killed after publishing these videos."""
    about = _read(folder)
    return about.get("stage") == "whole" and about["output"] == _output_values(output, folder)


def published(folder: Path) -> tuple[Path, ...]:
    """Return the videos that a killed run in this folder may have published."""
    try:
        films = read_about(folder)[1].films
    except CheckpointError:
        return ()
    return films if _read(folder).get("stage", "frames") != "frames" else ()


def read_about(folder: Path) -> tuple[dict[str, Any], FilmOutput]:
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
    folder: Path, settings: Mapping[str, Any], output: FilmOutput, stage: VideoStage
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


def _output_values(output: FilmOutput, folder: Path) -> dict[str, Any]:
    """Return ``output`` with paths relative to ``folder``, so that the folder can be moved."""
    film = {name: getattr(output.film, name) for name in _FILM}
    films = [os.path.relpath(path, folder) for path in output.films]
    kept = {"frames": output.frames is not None, "overwrite": output.overwrite}
    return {"films": films, "film": film, **kept}


def _read_output(values: Mapping[str, Any], folder: Path) -> FilmOutput:
    films = tuple(Path(os.path.normpath(folder / name)) for name in values["films"])
    film = FilmConfig(**{name: values["film"][name] for name in _FILM})
    frames = folder if values["frames"] else None
    return FilmOutput(films, film, frames, overwrite=values["overwrite"] is True)
