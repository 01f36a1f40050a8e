"""Films: stories, clips in another style, frames on the disk."""

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from vqclip.config import FilmConfig, FilmOutput, StoryConfig
from vqclip.diagnostics.forecast.measuring import Forecast, pace, peak_memory
from vqclip.diagnostics.forecast.pictures import forecast, inputs
from vqclip.hub.loaders import Models
from vqclip.media.writers import Array, film_writer
from vqclip.video.animation import Animation
from vqclip.video.restyle import Before, SourceVideo, restyle_frame
from vqclip.video.story import Telling

_ENCODED = 8  # frames: encoders look ahead


def of_story(story: StoryConfig, output: FilmOutput, models: Models) -> Forecast:
    """Return what a story would take."""
    one = pace(Telling(story, models), device=models.device)
    seconds = one.seconds(story.unseen + story.frames)
    return forecast(inputs(story.picture, models), _films(output), seconds, models)


def of_restyle(
    source: SourceVideo, size: tuple[int, int], output: FilmOutput, models: Models
) -> Forecast:
    """Return what a clip in another style would take."""

    def restyled() -> Iterator[None]:
        before = None
        for frame in source.read(size):
            result = restyle_frame(source.config, models, frame, before)
            before = Before(frame, result)
            yield

    seconds = pace(restyled(), 1, models.device).seconds(source.frames)
    reads = [*inputs(source.config.picture, models), source.path]
    return forecast(reads, _films(output), seconds, models)


def of_animation(animation: Animation, films: Sequence[Path]) -> Forecast:
    """Return what films of frames on the disk would take."""
    with closing(_encoded(animation, films)) as frames:
        one = pace(frames, _ENCODED)
    seconds = one.seconds(len(animation) * animation.plays(films))
    return Forecast(tuple(animation.paths), tuple(films), seconds, peak_memory())


def _encoded(animation: Animation, films: Sequence[Path]) -> Generator[None, None, None]:
    """Give frames to writers of the same kinds, elsewhere."""
    film = FilmConfig(animation.plan.rate, animation.config.quality, animation.config.codec)
    with TemporaryDirectory() as folder, ExitStack() as stack:
        places = (Path(folder) / f"film{path.suffix}" for path in films)
        writers = [stack.enter_context(film_writer(place, film)) for place in places]
        for number, frame in enumerate(animation):
            _give(writers, frame, number)
            yield


def _give(writers: Iterable[Any], frame: Array, number: int) -> None:
    for write in writers:
        write(frame, number)


def _films(output: FilmOutput) -> tuple[Path, ...]:
    return (*output.films, *((output.frames,) if output.frames else ()))
