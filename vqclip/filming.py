"""Films that are drawn, from config to files: a story, a clip in another style."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from typing import Any

from torch import Tensor

from vqclip.config import FilmOutput, StoryConfig
from vqclip.images import writing
from vqclip.loading import Models
from vqclip.rendering import metadata
from vqclip.story import StoryFrame, tell
from vqclip.writers import film_writer, frames_writer


def render_story(
    story: StoryConfig,
    output: FilmOutput,
    models: Models,
    on_frame: Callable[[StoryFrame], None],
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


def _record(
    frames: Iterable[StoryFrame],
    output: FilmOutput,
    settings: Mapping[str, Any],
    on_frame: Callable[[StoryFrame], None],
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
