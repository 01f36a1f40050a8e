"""Forecasts of time and peak memory, based on a few steps of a command."""

import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch

from vqclip.config import DRAWN, GenerateConfig, OutputConfig, StoryConfig, VideoOutput
from vqclip.files.environment import user_path
from vqclip.generation.drafts import drafts
from vqclip.generation.latents import grid_of
from vqclip.generation.prompt_embeddings import embed_prompts
from vqclip.generation.step import generate
from vqclip.hub.loaders import Models, weight_files
from vqclip.hub.run_defaults import derive
from vqclip.media.writers import video_writer
from vqclip.models.batch_sampling import Drawn
from vqclip.models.runtime import settle
from vqclip.runs.outputs import files
from vqclip.sampling.completion import Task, collect, draw_samples, refine

if TYPE_CHECKING:
    from vqclip.training.settings import TrainSettings
    from vqclip.video.animation import Animation
    from vqclip.video.restyle import SourceVideo

_CODES = 5  # codes sampled for a forecast, out of hundreds
_ENCODED = 8  # frames encoded for a forecast; encoders look ahead


@dataclass(frozen=True)
class Pace:
    """The seconds before the first step, and the seconds per step."""

    start: float
    step: float

    def seconds(self, steps: int) -> float:
        """Return the time for ``steps`` steps."""
        return self.start + self.step * max(0, steps)


@dataclass(frozen=True)
class Forecast:
    """The predicted time and memory of a run.

    reads, writes: files that the run reads and writes. A folder stands for the files in it.
    peak: peak memory in bytes (of the CUDA device if there is one, otherwise of the process); 0 if
        the system does not report it.
    """

    reads: tuple[Path, ...]
    writes: tuple[Path, ...]
    seconds: float
    peak: int


def pace(
    steps: Iterable[Any],
    more: int = 2,
    device: torch.device | None = None,
    done: Callable[[Any], int] | None = None,
) -> Pace:
    """Return the pace, measured over the first item of ``steps`` and at most ``more`` others.

    device: device to synchronise before each time measurement.
    done: function that returns the number of steps done after an item. Default: one step per item.
    """
    began, marks = time.monotonic(), list[tuple[float, int]]()
    for number, item in enumerate(islice(steps, more + 1), 1):
        settle(device)
        marks.append((time.monotonic(), done(item) if done else number))
    if not marks:
        return Pace(0.0, 0.0)
    (first, before), (last, after) = marks[0], marks[-1]
    step = (last - first) / max(1, after - before)
    return Pace(max(0.0, first - began - step * before), step)


def peak_memory(device: torch.device | None = None) -> int:
    """Return the peak memory so far in bytes (of a CUDA ``device``, or else of the process)."""
    if device is not None and device.type == "cuda":
        return torch.cuda.max_memory_reserved(device)
    try:  # not getrusage, which starts at the peak of the parent process
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024
    except (OSError, IndexError):
        pass
    if sys.platform == "win32":
        return 0
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def forecast(
    seconds: float, reads: Iterable[Path], writes: Iterable[Path], device: torch.device | None
) -> Forecast:
    """Return a forecast with the peak memory so far."""
    unique = tuple(dict.fromkeys(reads))
    return Forecast(unique, tuple(writes), max(0.0, seconds), peak_memory(device))


def picture_pace(config: GenerateConfig, models: Models) -> Pace:
    """Return the pace of an optimisation; the time for drafts counts as start-up."""
    short = replace(config, steps=min(3, config.steps))
    if models.transformer is None or derive(config).init not in DRAWN:
        return pace(generate(short, models), device=models.device)
    prior = derive(config).prior
    plain = replace(short, init="random", transformer=None, transformer_config=None, prior=prior)
    one = pace(generate(plain, models), device=models.device)
    prompts = embed_prompts(models, config.prompts)
    drawing = _drawing_seconds(drafts(config, models, prompts, grid_of(config, models.vqgan)))[0]
    return Pace(drawing + one.start, one.step)


def _drawing_seconds(steps: Iterable[Drawn]) -> tuple[float, Drawn | None]:
    """Return the predicted time for sampling all codes, and the codes sampled so far."""
    last: list[Drawn] = []

    def done(drawn: Drawn) -> int:
        last[:] = [drawn]
        return drawn.done

    one = pace(steps, _CODES, done=done)
    return (one.seconds(last[0].total), last[0]) if last else (0.0, None)


def of_pictures(
    runs: Sequence[tuple[GenerateConfig, OutputConfig]], models: Models, done: int = 0
) -> Forecast:
    """Return the forecast for runs with the same models; the first run starts at step ``done``."""
    first = runs[0][0]
    one = picture_pace(first, models)
    seconds = sum(one.seconds(config.steps) for config, _ in runs) - one.step * done
    writes = (path for config, output in runs for path in files(output, config.steps))
    return forecast(seconds, _inputs(first, models), writes, models.device)


def of_samples(task: Task, outputs: Sequence[OutputConfig], refined: int) -> Forecast:
    """Return the forecast for sampling, and for refining the best sample in ``refined`` steps."""
    models = task.models
    seconds, drawn = _drawing_seconds(draw_samples(task))
    if drawn is not None and refined:
        sample = collect(task, drawn.indices, ranked=False)[0]
        refining = refine(task, sample, min(3, refined))
        seconds += pace(refining, device=models.device).seconds(refined)
    writes = (path for output in outputs for path in files(output, 0))
    reads = [path for paths in weight_files(task.config, models).values() for path in paths]
    reads += _existing(value for _, value in task.config.conditions)
    return forecast(seconds, reads, writes, models.device)


def of_story(story: StoryConfig, output: VideoOutput, models: Models) -> Forecast:
    """Return the forecast for a story."""
    from vqclip.video.story import StoryFrames

    one = pace(StoryFrames(story, models), device=models.device)
    seconds = one.seconds(story.unseen + story.frames)
    return forecast(seconds, _inputs(story.picture, models), _written(output), models.device)


def of_restyle(
    source: "SourceVideo", size: tuple[int, int], output: VideoOutput, models: Models
) -> Forecast:
    """Return the forecast for a restyled video."""
    from vqclip.video.restyle import PreviousFrame, restyle_frame

    def restyled() -> Iterator[None]:
        before = None
        for frame in source.read(size):
            result = restyle_frame(source.config, models, frame, before)
            before = PreviousFrame(frame, result)
            yield

    seconds = pace(restyled(), 1, models.device).seconds(source.frames)
    reads = [*_inputs(source.config.picture, models), source.path]
    return forecast(seconds, reads, _written(output), models.device)


def of_animation(animation: "Animation", videos: Sequence[Path]) -> Forecast:
    """Return the forecast for videos made from frames on disk."""
    with closing(_encoded(animation, videos)) as frames:
        one = pace(frames, _ENCODED)
    seconds = one.seconds(len(animation) * animation.plays(videos))
    return forecast(seconds, animation.paths, videos, None)


def _encoded(animation: "Animation", videos: Sequence[Path]) -> Generator[None, None, None]:
    """Encode frames into temporary videos in the formats of ``videos``; yield after every frame."""
    with TemporaryDirectory() as folder, ExitStack() as stack:
        places = (Path(folder) / f"video{path.suffix}" for path in videos)
        writers = [stack.enter_context(video_writer(place, animation.video)) for place in places]
        for number, frame in enumerate(animation):
            for write in writers:
                write(frame, number)
            yield


def of_training(settings: "TrainSettings", folder: Path) -> Forecast:
    """Return the forecast for a training run's steps, without validation.

    Raises:
        UsageError, CheckpointError: under the same conditions as in training.
    """
    from vqclip.training.run import train

    with TemporaryDirectory() as elsewhere:
        steps: Any = train(settings, Path(elsewhere) / "run")
        with closing(steps):
            seconds = pace(steps).seconds(settings.train.steps)
    return forecast(seconds, (), (folder,), None)


def of_encoding(settings: "TrainSettings", device: torch.device) -> Forecast:
    """Return the forecast for encoding all training samples.

    Raises:
        UsageError, CheckpointError: under the same conditions as in encoding.
    """
    from vqclip.training.transformer.encoding import DatasetEncoder

    encoded = settings.data.get("encode")
    writes: tuple[Path, ...] = ()
    with TemporaryDirectory() as elsewhere:
        if isinstance(encoded, dict):
            data = {**settings.data, "encode": {**encoded, "folder": elsewhere}}
            settings, writes = replace(settings, data=data), (Path(str(encoded.get("folder"))),)
        encoder = DatasetEncoder(settings, device)
        steps: Any = encoder.run()
        with closing(steps):
            seconds = pace(steps, done=int).seconds(encoder.total)
    return forecast(seconds, (), writes, None)


def _inputs(config: GenerateConfig, models: Models) -> Iterator[Path]:
    """Yield the files that a run reads: weights, initial image and image prompts."""
    for paths in weight_files(config, models).values():
        yield from paths
    pictures = (prompt.content for prompt in config.prompts if prompt.kind == "image")
    yield from _existing((config.init, *pictures))


def _existing(names: Iterable[str]) -> list[Path]:
    """Return the ``names`` of existing files, as paths."""
    paths = (user_path(name) for name in names if name)
    return [path for path in paths if path.is_file()]


def _written(output: VideoOutput) -> tuple[Path, ...]:
    return (*output.videos, *((output.frames,) if output.frames else ()))
