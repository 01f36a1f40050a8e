"""Execution of jobs in this process, one by one or side by side.

An engine runs jobs and yields each one when it finishes or fails. The caller records each job
immediately. Jobs share only the models' weights. A job's image therefore does not depend on the
other jobs, except for rounding when jobs run side by side.
"""

import errno
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Generator, Hashable, Iterable
from dataclasses import replace
from typing import Any, Protocol

from PIL import Image

from vqclip.batch.folder import RunFolder
from vqclip.batch.jobs import DONE, FAILED, Job
from vqclip.config import GenerateConfig, OutputConfig
from vqclip.diagnostics.forecast import Pace, picture_pace
from vqclip.errors import CheckpointError, UsageError, VqclipError
from vqclip.generation.frame import Frame
from vqclip.generation.optimizers import can_resume
from vqclip.generation.parallel import Work, side_by_side
from vqclip.generation.prompt_embeddings import clip_scores
from vqclip.generation.state import State
from vqclip.hub.loaders import Models, load_models
from vqclip.hub.run_defaults import derive, transformer_of
from vqclip.media.images import to_pil
from vqclip.models.runtime import resolve_device
from vqclip.runs.checkpoint import load_checkpoint
from vqclip.runs.render import metadata, rendering

# Called with a job, the number of its finished steps, and a function that renders the current
# image.
OnStep = Callable[[Job, int, Callable[[], Image.Image]], None]

_MOST_LOADED = 2  # sets of models kept loaded
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


class Engine(Protocol):
    """Runs jobs; on Ctrl-C, saves their checkpoints and then raises KeyboardInterrupt."""

    def __call__(self, jobs: Iterable[Job]) -> Generator[Job, None, None]:
        """Yield each job as soon as it is done or has failed."""


class Loader:
    """Loads sets of models and keeps the most recently used ones in memory.

    Most lists need only one set.
    """

    def __init__(self) -> None:
        self.loaded: OrderedDict[Any, Models] = OrderedDict()

    def __call__(self, config: GenerateConfig) -> Models:
        """Return the models for ``config``, reusing loaded ones if they match."""
        key = models_key(config)
        if key not in self.loaded:
            if len(self.loaded) >= _MOST_LOADED:
                self.loaded.popitem(last=False)
            self.loaded[key] = load_models(config)
        self.loaded.move_to_end(key)
        return self.loaded[key]


def models_key(config: GenerateConfig) -> tuple[Any, ...]:
    """Return the settings that determine which models a job uses."""
    perceptors = tuple(source for source, _ in config.clip)
    transformer = (transformer_of(config), config.transformer_config)
    place = (config.device, config.precision)
    return (config.vqgan, config.vqgan_config, perceptors, transformer, place)


class Local:
    """Runs jobs in this process, grouped by their models and then by :func:`shape`.

    width: number of jobs to run side by side. None means the fastest measured width on a GPU, and
        1 on a CPU. With the precision ``portable``, None always means 1, so that other jobs do not
        affect a job's bytes.
    """

    def __init__(
        self,
        folder: RunFolder,
        on_step: OnStep | None = None,
        load: Loader | None = None,
        width: int | None = None,
    ) -> None:
        self.folder, self.on_step, self.load = folder, on_step, load or Loader()
        self.width = width

    def __call__(self, jobs: Iterable[Job]) -> Generator[Job, None, None]:
        """Yield each job as soon as it is done or has failed."""
        for alike in grouped(jobs, lambda job: models_key(job.config)):
            for group in grouped(alike, lambda job: self._beside(job.config)):
                works = (attempt(job, self.folder, self.load, self.on_step) for job in group)
                yield from side_by_side(works, self._width(group[0].config))

    def _width(self, config: GenerateConfig) -> int | None:
        return self.width or usual_width(config)

    def _beside(self, config: GenerateConfig) -> str | None:
        """Return the key shared by jobs that run side by side, or None if each job runs alone."""
        return None if self._width(config) == 1 else shape(config)


def usual_width(config: GenerateConfig) -> int | None:
    """Return the default number of jobs to run side by side; None means the fastest width."""
    try:
        portable = config.precision == "portable"
        alone = portable or resolve_device(config.device).type == "cpu"
    except UsageError:  # reported by the job itself
        alone = True
    return 1 if alone else None


def grouped(jobs: Iterable[Job], key: Callable[[Job], Hashable]) -> list[list[Job]]:
    """Group the jobs by key, in the order in which the keys first appear."""
    groups: dict[Hashable, list[Job]] = {}
    for job in jobs:
        groups.setdefault(key(job), []).append(job)
    return list(groups.values())


def shape(config: GenerateConfig) -> str:
    """Return, as JSON, the settings that jobs must share to run side by side.

    These are all settings except the prompts and the seed.
    """
    values = {k: v for k, v in config.to_dict().items() if k not in ("prompts", "seed")}
    return json.dumps(values, sort_keys=True)


def attempt(
    job: Job,
    folder: RunFolder,
    load: Callable[[GenerateConfig], Models],
    on_step: OnStep | None = None,
) -> Work[Job]:
    """Run a job and return it as done or failed; a failure does not stop the other jobs.

    Raises:
        VqclipError: the disk is full or read-only, so the other jobs would fail too.
        KeyboardInterrupt: Ctrl-C was pressed; the job's checkpoint, if any, has been saved.
    """
    try:
        return (yield from work(job, folder, load(job.config), on_step))
    except Exception as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno in _FULL:
            raise
        return _failed(job, error)


def _failed(job: Job, error: Exception) -> Job:
    kind = "" if isinstance(error, VqclipError) else f"{type(error).__name__}: "
    return replace(job, state=FAILED, error=" ".join(f"{kind}{error}".split()), files=())


def work(job: Job, folder: RunFolder, models: Models, on_step: OnStep | None = None) -> Work[Job]:
    """Generate a job's image, resuming from a checkpoint if there is one; return the finished job.

    Raises:
        VqclipError: the job failed.
        KeyboardInterrupt: Ctrl-C was pressed; the job's checkpoint, if any, has been saved.
    """
    checkpoint = folder.checkpoint(job) if can_resume(job.config.optimizer) else None
    output = replace(job.output(folder.path), checkpoint=checkpoint)
    began = time.monotonic()
    state = _saved_state(job, output, models)

    def on_frame(frame: Frame) -> None:
        if on_step and frame.stage == "optimization":
            on_step(job, frame.step, lambda: to_pil(frame.image))

    result = yield from rendering(job.config, output, models, on_frame, state=state)
    if result.interrupted:
        raise KeyboardInterrupt
    image = result.frame.image
    files = (path for path in result.files if path != output.checkpoint and path.parent.exists())
    return replace(
        job,
        state=DONE,
        error=None,
        seconds=round(time.monotonic() - began, 2),
        score=round(float(clip_scores(job.config, models, result.prompts, image)), 4),
        files=tuple(path.relative_to(folder.path).as_posix() for path in files),
    )


def _saved_state(job: Job, output: OutputConfig, models: Models) -> State | None:
    """Return a job's saved state, or None if no state matches its settings and weights."""
    if output.checkpoint is None:
        return None
    try:
        saved = load_checkpoint(output.checkpoint)
    except (UsageError, CheckpointError):
        return None
    known = metadata(job.config, models)
    same = saved.config == job.config and saved.metadata["weights"] == known["weights"]
    return saved.state if same and saved.metadata["settings"] == known["settings"] else None


def estimate(
    jobs: Iterable[Job], load: Callable[[GenerateConfig], Models]
) -> tuple[float, list[Job]]:
    """Predict the time in seconds for all jobs by timing a few steps of each kind of job.

    Jobs that fail during these steps are also returned, with their errors.
    """
    paces: dict[Any, Pace] = {}
    failed: list[Job] = []
    total = 0.0
    for job in jobs:
        c = job.config
        work = (models_key(c), c.size, c.num_cutouts, c.cut_method, derive(c).init, c.drafts)
        try:
            if work not in paces:
                paces[work] = picture_pace(c, load(c))
            total += paces[work].seconds(c.steps)
        except Exception as error:
            failed.append(_failed(job, error))
    return total, failed
