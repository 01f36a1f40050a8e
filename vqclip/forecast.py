"""What a run would take, told by a few of its steps: files, time, and memory at the peak."""

import sys
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from vqclip.animation import Animation
from vqclip.completion import Task, collect, draw_samples, refine
from vqclip.config import FilmConfig, FilmOutput, GenerateConfig, OutputConfig, StoryConfig
from vqclip.flow import Array
from vqclip.generation import generate
from vqclip.loading import Models, weight_files
from vqclip.outputs import files
from vqclip.restyle import Before, Source, restyle_frame
from vqclip.story import tell
from vqclip.writers import film_writer

_ENCODED = 8  # frames: encoders look ahead


@dataclass(frozen=True)
class Pace:
    """Seconds before the steps, and those of each."""

    start: float
    step: float

    def seconds(self, steps: int) -> float:
        """Return the time of so many."""
        return self.start + self.step * max(0, steps)


@dataclass(frozen=True)
class Forecast:
    """What a run would take.

    reads, writes: files. A film or folder of frames stands for its frames.
    peak: bytes of memory, of the device's where that is CUDA's, else of the process's; 0 where
        the system does not tell.
    """

    reads: tuple[Path, ...]
    writes: tuple[Path, ...]
    seconds: float
    peak: int


def pace(steps: Iterable[object], later: int = 2) -> Pace:
    """Take the first of ``steps`` and ``later`` more, and no others."""
    times = [time.monotonic()]
    for _ in islice(steps, later + 1):
        times.append(time.monotonic())
    if len(times) == 1:
        return Pace(0.0, 0.0)
    step = (times[-1] - times[1]) / max(1, len(times) - 2)
    return Pace(max(0.0, times[1] - times[0] - step), step)


def picture_pace(config: GenerateConfig, models: Models) -> Pace:
    """Return the pace of an optimisation, its drafts among what comes before."""
    return pace(generate(replace(config, steps=min(3, config.steps)), models))


def of_pictures(
    runs: Sequence[tuple[GenerateConfig, OutputConfig]], models: Models, done: int = 0
) -> Forecast:
    """Return what runs of the same models would take, the first of them from step ``done`` on."""
    first = runs[0][0]
    one = picture_pace(first, models)
    seconds = sum(one.seconds(config.steps) for config, _ in runs) - one.step * done
    writes = (path for config, output in runs for path in files(output, config.steps))
    return _forecast(inputs(first, models), writes, seconds, models)


def of_samples(task: Task, outputs: Sequence[OutputConfig], refined: int) -> Forecast:
    """Return what a transformer's samples would take, ``refined`` steps for the best."""
    began, indices = time.monotonic(), None
    marks: list[tuple[int, float]] = []
    for drawn in islice(draw_samples(task), 6):
        marks.append((drawn.done, time.monotonic()))
        indices = drawn.indices
    seconds = 0.0
    if indices is not None:
        (done, first), (further, last) = marks[0], marks[-1]
        code = (last - first) / max(1, further - done)
        seconds = first - began + code * (task.total - done)
        if refined and (samples := collect(task, indices, ranked=False)):
            seconds += pace(refine(task, samples[0], min(3, refined))).seconds(refined)
    writes = (path for output in outputs for path in files(output, 0))
    reads = [path for paths in weight_files(task.config, task.models).values() for path in paths]
    reads += _existing(value for _, value in task.config.conditions)
    return _forecast(reads, writes, seconds, task.models)


def of_story(story: StoryConfig, output: FilmOutput, models: Models) -> Forecast:
    """Return what a story would take."""
    seconds = pace(tell(story, models)).seconds(story.frames)
    return _forecast(inputs(story.picture, models), _films(output), seconds, models)


def of_restyle(
    source: Source, size: tuple[int, int], output: FilmOutput, models: Models
) -> Forecast:
    """Return what a clip in another style would take."""

    def restyled() -> Iterator[None]:
        before = None
        for frame in source.read(size):
            result = restyle_frame(source.config, models, frame, before)
            before = Before(frame, result)
            yield

    seconds = pace(restyled(), 1).seconds(source.frames)
    reads = [*inputs(source.config.picture, models), source.path]
    return _forecast(reads, _films(output), seconds, models)


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


def inputs(config: GenerateConfig, models: Models) -> Iterator[Path]:
    """Yield the files that a run reads: weights, its start, its image prompts."""
    for paths in weight_files(config, models).values():
        yield from paths
    pictures = (prompt.content for prompt in config.prompts if prompt.kind == "image")
    yield from _existing((config.init, *pictures))


def _existing(names: Iterable[str]) -> list[Path]:
    paths = (Path(name).expanduser() for name in names if name)
    return [path for path in paths if path.is_file()]


def _films(output: FilmOutput) -> tuple[Path, ...]:
    return (*output.films, *((output.frames,) if output.frames else ()))


def _forecast(
    reads: Iterable[Path], writes: Iterable[Path], seconds: float, models: Models
) -> Forecast:
    unique = tuple(dict.fromkeys(reads))
    return Forecast(unique, tuple(writes), max(0.0, seconds), peak_memory(models.device))


def peak_memory(device: torch.device | None = None) -> int:
    """Return the bytes of the process's, or of CUDA's, memory at its peak so far."""
    if device is not None and device.type == "cuda":
        return torch.cuda.max_memory_reserved(device)
    try:  # not getrusage, which begins with what the process had that started this one
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024
    except (OSError, IndexError):
        pass
    if sys.platform == "win32":
        return 0
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
