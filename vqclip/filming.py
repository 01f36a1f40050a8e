"""Films that are drawn, from config to files: a story, a drawing, a clip in another style."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from vqclip.completion import Sample, Task, picture
from vqclip.config import FilmConfig, FilmOutput, OutputConfig, StoryConfig
from vqclip.errors import UsageError
from vqclip.flow import Array
from vqclip.images import flatten, load_image, replacing, save_image, writing
from vqclip.loading import Models
from vqclip.locking import locked
from vqclip.rendering import metadata, sample_metadata
from vqclip.restyle import Before, Source, drawn_size, restyle_frame
from vqclip.story import tell
from vqclip.timing import film_fps
from vqclip.writers import FilmFrame, film_writer, frame_path, frames_writer


def render_story(
    story: StoryConfig,
    output: FilmOutput,
    models: Models,
    on_frame: Callable[[FilmFrame], None],
    start: Tensor | None = None,
) -> bool:
    """Tell ``story``, from z ``start`` if there is one; return whether Ctrl-C cut it short.

    Ctrl-C keeps the films so far.

    Raises:
        VqclipError: the run failed, or a file could not be written.
    """
    scenes = story.to_dict()
    settings = {**metadata(story.picture, models), "story": scenes}
    settings["prompt"] = " ^ ".join(scenes["scenes"])
    return _record(tell(story, models, start), output, settings, on_frame)


def film_sample(
    task: Task,
    sample: Sample,
    stages: Sequence[Tensor],
    output: OutputConfig,
    on_frame: Callable[[FilmFrame], None],
) -> bool:
    """Film how a sample came to be; return whether Ctrl-C cut it short, which keeps the films.

    stages: codes (h, w), -1 where one is not drawn yet, which shows as a plain colour.

    Raises:
        VqclipError: a file could not be written.
    """
    film = FilmConfig(output.fps or film_fps(len(stages)))
    frames = (
        FilmFrame(number, np.asarray(flatten(picture(task, codes))))
        for number, codes in enumerate(stages)
    )
    target = FilmOutput(output.films, film, overwrite=output.overwrite)
    return _record(frames, target, sample_metadata(task, sample), on_frame)


def _record(
    frames: Iterable[FilmFrame],
    output: FilmOutput,
    settings: Mapping[str, Any],
    on_frame: Callable[[FilmFrame], None],
) -> bool:
    done = False
    try:
        with writing(), ExitStack() as stack:
            writers = [
                stack.enter_context(
                    film_writer(path, output.film, settings, overwrite=output.overwrite)
                )
                for path in output.films
            ]
            if output.frames:
                manager = frames_writer(output.frames, settings, overwrite=output.overwrite)
                writers.append(stack.enter_context(manager))
            for frame in frames:
                for write in writers:
                    write(frame.picture, frame.number)
                done = True
                on_frame(frame)
    except KeyboardInterrupt:
        if not done:
            raise
        return True
    return False


_ABOUT, _LOCK = "about.json", ".lock"


class RestyleRun:
    """One clip on its way into another style: its frames in a folder, and at the end the films.

    All that the next frame depends on is the clip and the last result, which is on the disk: a run
    that was stopped goes on where it was, to the same bytes.
    """

    def __init__(self, source: Source, output: FilmOutput, models: Models) -> None:
        self.source, self.output, self.models = source, output, models
        config = self.config = source.config
        self.size = drawn_size(source, models)
        self.folder = output.frames or working_folder(output.films[0])
        settings = metadata(replace(config.picture, size=self.size), models)
        self.settings = {**settings, "restyle": config.to_dict() | {"bytes": self.source.bytes}}

    def run(self, on_frame: Callable[[int, Array], None]) -> int:
        """Draw what is missing, write the films; return how many frames they have.

        Ctrl-C leaves the frames so far, and no film.

        Raises:
            UsageError: the folder holds frames of other settings, or another process is at work.
            VqclipError: the run failed, or a file could not be written.
        """
        about, lock = self.folder / _ABOUT, self.folder / _LOCK
        if not about.exists() and frame_path(self.folder, 0).exists():
            raise UsageError(f"{self.folder} holds frames of something else: choose another folder")
        with writing():
            self.folder.mkdir(parents=True, exist_ok=True)
            with locked(lock):
                self._begin(about)
                count = self._draw(on_frame)
                self._write_films(count)
                if self.output.frames is None:
                    self._clear(count)
            lock.unlink()
            if self.output.frames is None:
                self.folder.rmdir()
        return count

    def _begin(self, about: Path) -> None:
        if about.exists():
            if json.loads(about.read_text(encoding="utf-8")) != json.loads(
                json.dumps(self.settings)
            ):
                raise UsageError(
                    f"{self.folder} holds frames of another run: give the same settings to go on, "
                    "or choose another --output"
                )
            return
        with replacing(about) as temporary:
            temporary.write_text(json.dumps(self.settings), encoding="utf-8")

    def _draw(self, on_frame: Callable[[int, Array], None]) -> int:
        before, number = None, -1
        for number, frame in enumerate(self.source.read(self.size)):
            path = frame_path(self.folder, number)
            if path.exists():
                result = np.asarray(load_image(path))
            else:
                result = restyle_frame(self.config, self.models, frame, before)
                save_image(Image.fromarray(result), path, {**self.settings, "frame": number})
            before = Before(frame, result)
            on_frame(number + 1, result)
        if number < 0:
            raise UsageError(f"{self.source.path} has no frames")
        return number + 1

    def _write_films(self, count: int) -> None:
        film = replace(
            self.output.film,
            rate=self.source.rate,
            sound=self.source.path if self.source.is_film else None,
        )
        for path in self.output.films:
            with film_writer(path, film, self.settings, overwrite=self.output.overwrite) as write:
                for number in range(count):
                    write(np.asarray(load_image(frame_path(self.folder, number))), number)

    def _clear(self, count: int) -> None:
        for number in range(count):
            frame_path(self.folder, number).unlink()
        (self.folder / _ABOUT).unlink()


def working_folder(film: Path) -> Path:
    """Return where the frames of a film lie until it is whole."""
    return film.with_name(f"{film.stem}.frames")
