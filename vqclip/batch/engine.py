"""Jobs to results: each job is made whole by :func:`work`, whoever calls it, wherever.

An engine takes jobs and yields what became of them, in any order: what it yields is written down
at once. Nothing that a job's bytes depend on is shared between jobs but the models' weights.
"""

import errno
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from vqclip.batch.folder import RunFolder
from vqclip.batch.jobs import DONE, FAILED, Job
from vqclip.config import GenerateConfig, OutputConfig
from vqclip.errors import CheckpointError, UsageError, VqclipError
from vqclip.forecast.measuring import Pace
from vqclip.forecast.pictures import picture_pace
from vqclip.generation import Frame, clip_score
from vqclip.loading import Models, load_models
from vqclip.optimizers import can_resume
from vqclip.rendering import metadata, render
from vqclip.resuming import State, load_checkpoint

OnFrame = Callable[[Job, Frame], None]

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


class Engine(Protocol):
    """Makes jobs; Ctrl-C ends it with a KeyboardInterrupt, after a checkpoint."""

    def __call__(self, jobs: Iterable[Job]) -> Iterator[Job]:
        """Yield every job when it is done or has failed."""


class Loader:
    """Keeps the models of the last jobs: most lists need one set of them."""

    def __init__(self, most: int = 2) -> None:
        self.most = most
        self.loaded: OrderedDict[Any, Models] = OrderedDict()

    def __call__(self, config: GenerateConfig) -> Models:
        """Return the models of ``config``, loaded at most once in a row."""
        key = models_key(config)
        if key not in self.loaded:
            if len(self.loaded) >= self.most:
                self.loaded.popitem(last=False)
            self.loaded[key] = load_models(config)
        self.loaded.move_to_end(key)
        return self.loaded[key]


def models_key(config: GenerateConfig) -> tuple[Any, ...]:
    """Return the settings that the models depend on."""
    perceptors = tuple(source for source, _ in config.clip)
    transformer = (config.transformer_source, config.transformer_config)
    place = (config.device, config.precision)
    return (config.vqgan, config.vqgan_config, perceptors, transformer, place)


class Local:
    """The engine of this process: one job after the other, those of the same models in a row."""

    def __init__(self, folder: RunFolder, on_frame: OnFrame | None = None) -> None:
        self.folder, self.on_frame, self.load = folder, on_frame, Loader()

    def __call__(self, jobs: Iterable[Job]) -> Iterator[Job]:
        """Yield every job when it is done or has failed."""
        jobs = list(jobs)
        order: dict[Any, int] = {}
        for job in jobs:
            order.setdefault(models_key(job.config), len(order))
        for job in sorted(jobs, key=lambda job: order[models_key(job.config)]):
            yield attempt(job, self.folder, self.load, self.on_frame)


def attempt(
    job: Job,
    folder: RunFolder,
    load: Callable[[GenerateConfig], Models],
    on_frame: OnFrame | None = None,
) -> Job:
    """Return the job as it ended, done or failed; its failure is nobody else's.

    Raises:
        VqclipError: the disk is full or read-only: no other job would fare better.
        KeyboardInterrupt: its checkpoint is written.
    """
    try:
        return work(job, folder, load(job.config), on_frame)
    except Exception as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno in _FULL:
            raise
        kind = "" if isinstance(error, VqclipError) else f"{type(error).__name__}: "
        return replace(job, state=FAILED, error=" ".join(f"{kind}{error}".split()), files=())


def work(job: Job, folder: RunFolder, models: Models, on_frame: OnFrame | None = None) -> Job:
    """Make the picture of a job, from its checkpoint if there is one; return it as done.

    Raises:
        VqclipError: it failed.
        KeyboardInterrupt: Ctrl-C; its checkpoint is written.
    """
    checkpoint = folder.checkpoint(job) if can_resume(job.config.optimizer) else None
    output = replace(job.output(folder.path), checkpoint=checkpoint)
    began = time.monotonic()
    state = _begun(job, output, models)
    result = render(
        job.config,
        output,
        models,
        (lambda frame: on_frame(job, frame)) if on_frame else None,
        state=state,
    )
    if result.interrupted:
        raise KeyboardInterrupt
    files = (path for path in result.files if path != output.checkpoint and path.parent.exists())
    return replace(
        job,
        state=DONE,
        error=None,
        seconds=round(time.monotonic() - began, 2),
        score=round(clip_score(job.config, models, result.frame.image), 4),
        files=tuple(_beside(path, folder.path) for path in files),
    )


def _beside(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def _begun(job: Job, output: OutputConfig, models: Models) -> State | None:
    """Return where a job goes on; None where it was not begun, or with other weights."""
    if output.checkpoint is None:
        return None
    try:
        saved = load_checkpoint(output.checkpoint)
    except (UsageError, CheckpointError):
        return None
    known = metadata(job.config, models)
    same = saved.config == job.config and saved.metadata["weights"] == known["weights"]
    return saved.state if same and saved.metadata["settings"] == known["settings"] else None


def estimate(jobs: Iterable[Job], load: Callable[[GenerateConfig], Models]) -> float:
    """Return the seconds that the jobs will take, from a few steps of each kind of work."""
    paces: dict[Any, Pace] = {}
    total = 0.0
    for job in jobs:
        c = job.config
        work = (models_key(c), c.size, c.num_cutouts, c.cut_method, c.init, c.drafts)
        if work not in paces:
            paces[work] = picture_pace(c, load(c))
        total += paces[work].seconds(c.steps)
    return total
