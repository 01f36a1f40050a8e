"""The folder with the frames of a video in progress.

::

    castle-7.frames/            of castle-7.mp4
        00000.png, 00001.png    the frames so far
        about.json              their settings and the videos to write
        state.safetensors       further state that the next frame depends on, if any
"""

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import count, takewhile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vqclip.config import FilmConfig, FilmOutput
from vqclip.errors import CheckpointError, UsageError, one_line
from vqclip.files.atomic import replacing, sweep, writing
from vqclip.files.locking import locked
from vqclip.generation.state import State
from vqclip.media.images import load_image, save_image
from vqclip.media.writers import Array, film_writer, frame_path
from vqclip.runs.checkpoint import EVERY, load_state, save_state

_ABOUT, _STATE, _LOCK = "about.json", "state.safetensors", ".lock"
_FILM = ("rate", "quality", "codec", "loop")


class WorkFolder:
    """The folder of a video in progress: the requested frame folder, or a temporary one.

    Args:
        output: the videos to write from the frames.
        settings: the metadata of every frame and video.
    """

    def __init__(self, output: FilmOutput, settings: Mapping[str, Any]) -> None:
        self.output, self.settings = output, dict(settings)
        self.path = output.frames or working_folder(output.films[0])
        self.last: State | None = None
        self.saved = time.monotonic()
        self.whole = False

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Create and lock the folder; when the video is complete, clean it up.

        Raises:
            UsageError: the folder holds frames of something else or is used by another process.
            VqclipError: the folder cannot be written.
        """
        lock, over = self.path / _LOCK, False
        if not is_unfinished(self.path) and frame_path(self.path, 0).exists():
            raise UsageError(f"{self.path} holds frames of something else: choose another folder")
        try:
            with writing():
                self.path.mkdir(parents=True, exist_ok=True)
                with locked(lock):
                    self._begin()
                    try:
                        yield
                    finally:
                        over = self.whole or not self._has_frames()
                        if over:
                            self._remove(frames=self.output.frames is None)
        finally:
            if over:
                with suppress(OSError):  # the folder contains other files
                    lock.unlink(missing_ok=True)
                    self.path.rmdir()

    def _begin(self) -> None:
        """Continue with the existing frames; raise UsageError if they have other settings."""
        sweep(self.path)
        known = json.loads(json.dumps(self.settings))
        if is_unfinished(self.path) and read_about(self.path)[0] != known:
            if not self.output.overwrite:
                raise UsageError(
                    f"{self.path} holds frames of another run: repeat its settings to continue, "
                    "choose another `output`, or add `overwrite` to discard them"
                )
            self._remove(frames=True)
        values = {"settings": self.settings, "output": _output_values(self.output, self.path)}
        with replacing(self.path / _ABOUT, overwrite=True) as temporary:
            temporary.write_text(json.dumps(values), encoding="utf-8")

    def _has_frames(self) -> bool:
        return frame_path(self.path, 0).exists() or self.state_path.exists()

    def _remove(self, *, frames: bool) -> None:
        """Remove our files, about.json last, so that a folder left by a kill is recognised."""
        for path in reversed(self.numbered()) if frames else ():
            path.unlink()
        self.state_path.unlink(missing_ok=True)
        (self.path / _ABOUT).unlink(missing_ok=True)

    def numbered(self) -> list[Path]:
        """Return the paths of the frames so far."""
        paths = (frame_path(self.path, number) for number in count())
        return list(takewhile(Path.exists, paths))

    def frame(self, number: int) -> Array | None:
        """Return a frame, (h, w, 3) uint8, or None if it does not exist."""
        path = frame_path(self.path, number)
        return np.asarray(load_image(path)) if path.exists() else None

    def put(self, number: int, picture: Array) -> None:
        """Write a frame."""
        settings = {**self.settings, "frame": number}
        path = frame_path(self.path, number)
        save_image(Image.fromarray(picture), path, settings, overwrite=True)

    @property
    def state_path(self) -> Path:
        """The path of the state file."""
        return self.path / _STATE

    def state(self) -> State | None:
        """Return the state after the frames so far, if one was saved."""
        return load_state(self.state_path) if self.state_path.exists() else None

    def keep(self, state: State) -> None:
        """Record the state after the last frame; write it if it is due."""
        self.last = state
        if time.monotonic() - self.saved >= EVERY:
            self.save()

    def save(self) -> None:
        """Write the last recorded state."""
        if self.last is not None:
            save_state(self.state_path, self.last)
            self.saved = time.monotonic()

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """Write the last state when the block ends, even with an exception."""
        try:
            yield
        finally:
            self.save()

    def write_films(self, frames: int) -> None:
        """Write the videos from the first ``frames`` frames."""
        film, overwrite = self.output.film, self.output.overwrite
        for path in self.output.films:
            with film_writer(path, film, self.settings, overwrite=overwrite) as write:
                for number in range(frames):
                    write(np.asarray(load_image(frame_path(self.path, number))), number)
        self.whole = True


def working_folder(film: Path) -> Path:
    """Return the folder that holds a video's frames until it is complete."""
    return film.with_name(f"{film.stem}.frames")


def is_unfinished(folder: Path) -> bool:
    """Return whether a folder belongs to a video in progress."""
    return (folder / _ABOUT).is_file()


def read_about(folder: Path) -> tuple[dict[str, Any], FilmOutput]:
    """Return the settings and the output files of the video in a folder.

    Raises:
        CheckpointError: about.json is damaged.
    """
    path = folder / _ABOUT
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        return dict(about["settings"]), _read_output(about["output"], folder)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is damaged: {one_line(error, 150)}") from error


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
