"""Execution of jobs on a Ray cluster.

Ray also schedules tasks on nodes that join later, and repeats a task if its worker is lost.
"""

import math
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from vqclip.batch.cluster import Cluster, first_words
from vqclip.batch.engine import OnStep, grouped, models_key, shape
from vqclip.batch.folder import RunFolder
from vqclip.batch.jobs import FAILED, Job
from vqclip.batch.worker import (
    NEWS_EVERY,
    Board,
    Files,
    JobGroup,
    read_files,
    render_group,
    write_files,
)
from vqclip.errors import VqclipError
from vqclip.files.atomic import writing
from vqclip.generation.parallel import MOST

_PATIENCE = 300.0  # seconds to wait while no task is running
_FAREWELL = 20.0  # seconds for cancelled tasks to send their checkpoints

Note = Callable[[str], None]


class Remote:
    """Runs jobs on a cluster; as a context manager, cancels the remaining tasks on exit.

    on_step: called about twice a second with each running job, its step and a function that returns
        the latest image from any job. The function works only if ``look`` is set.
    note: called with a message about each job that continues after losing its worker.
    width: number of jobs that a task runs side by side. None means the fastest measured width on a
        GPU, and 1 on a CPU.
    """

    def __init__(
        self,
        folder: RunFolder,
        cluster: Cluster,
        on_step: OnStep | None = None,
        note: Note | None = None,
        *,
        look: bool = False,
        width: int | None = None,
    ) -> None:
        self.folder, self.cluster, self.ray = folder, cluster, cluster.ray
        self.on_step, self.note, self.look = on_step, note, look
        self.width = width
        self.running: dict[Any, tuple[Job, ...]] = {}  # a task's jobs, by Ray's reference to it
        self.jobs: dict[str, Job] = {}  # unfinished jobs, by key
        self.last_running = time.monotonic()  # when a task was last running

    def __enter__(self) -> "Remote":
        self.board = self.cluster.actor_here(Board, self.cluster.alive)
        # The board decides which losses are a job's fault, so Ray can retry without limit.
        options = {**self.cluster.need, "max_retries": -1}
        self.draw = self.ray.remote(render_group).options(**options)
        return self

    def __exit__(self, *error: object) -> None:
        """Cancel the tasks, and save the checkpoints that they send."""
        for call in self.running:
            self.ray.cancel(call, recursive=False)
        if self.running:
            self.ray.wait(list(self.running), num_returns=len(self.running), timeout=_FAREWELL)
            with suppress(self.ray.exceptions.RayError, VqclipError):
                self._keep(self.ray.get(self.board.news.remote()).checkpoints)
        self.ray.kill(self.board)

    def __call__(self, jobs: Iterable[Job]) -> Generator[Job, None, None]:
        """Yield each job as soon as it is done or has failed.

        Raises:
            VqclipError: no worker is available, or a worker's disk is full; finished jobs are kept.
        """
        for alike in grouped(jobs, lambda job: models_key(job.config)):
            for alike_jobs in grouped(alike, lambda job: shape(job.config)):
                for group in self._groups(alike_jobs):
                    self._submit(group)
        while self.running:
            ready, _ = self.ray.wait(list(self.running), timeout=NEWS_EVERY)
            self._read_news()
            for call in ready:
                yield from self._take(call)

    def _groups(self, jobs: Sequence[Job]) -> Iterator[Sequence[Job]]:
        """Divide the jobs among the available workers."""
        most = self.width or (MOST if self.cluster.need["num_gpus"] else 1)
        size = min(most, math.ceil(len(jobs) / max(1, self.cluster.room())))
        return (jobs[start : start + size] for start in range(0, len(jobs), size))

    def _submit(self, jobs: Sequence[Job]) -> None:
        need = self.cluster.need
        begun = read_files(self.folder.path, [self._checkpoint(job) for job in jobs])
        place, gpu = str(Path.cwd()), bool(need["num_gpus"])
        group = JobGroup(tuple(jobs), begun, need["num_cpus"], self.width, place, gpu, self.look)
        self.running[self.draw.remote(group, self.board)] = group.jobs
        self.jobs |= {job.key: job for job in jobs}

    def _checkpoint(self, job: Job) -> str:
        return self.folder.checkpoint(job).relative_to(self.folder.path).as_posix()

    def _read_news(self) -> None:
        """Save the checkpoints sent by tasks, and show the progress of running jobs."""
        try:
            news = self.ray.get(self.board.news.remote())
        except self.ray.exceptions.RayError as error:
            raise VqclipError(
                f"lost the connection to the cluster: {first_words(error)}"
            ) from error
        self._keep(news.checkpoints)
        for name, machine in news.resumed:
            if self.note:
                self.note(f"{name} lost its worker and continues on {machine}")
        for key, step in news.steps.items():
            if self.on_step and key in self.jobs:
                self.on_step(self.jobs[key], step, lambda: _shown(news.picture))
        if news.busy:
            self.last_running = time.monotonic()
        elif time.monotonic() - self.last_running > _PATIENCE:
            raise VqclipError(self._no_worker())

    def _no_worker(self) -> str:
        need = self.cluster.need
        wanted = "a free GPU" if need["num_gpus"] else f"{need['num_cpus']} free CPUs"
        return (
            f"no worker has started for {_PATIENCE:.0f} s: the cluster is busy, or none of its "
            f"nodes has {wanted} (finished jobs are kept)"
        )

    def _take(self, call: Any) -> Iterator[Job]:
        """Process a task's result and yield its finished jobs."""
        jobs = self.running.pop(call)
        try:
            ended = self.ray.get(call)
        except self.ray.exceptions.RayTaskError as error:
            if "No module named 'vqclip'" in str(error):
                raise VqclipError(
                    "vqclip is not installed on a node of the cluster: run pip install "
                    "'vqclip[ray]' on every node"
                ) from error
            raise VqclipError(first_words(error.cause)) from error
        except self.ray.exceptions.RayError as error:
            reason = f"its worker was lost: {first_words(error)}"
            ended = [(replace(job, state=FAILED, error=reason, files=()), {}) for job in jobs]
        if ended is None:
            for job in jobs:
                self._submit([job])
            return
        self.last_running = time.monotonic()
        self.board.end.remote([job.name for job in jobs])
        for job, files in ended:
            self.jobs.pop(job.key, None)
            with writing():
                write_files(self.folder.path, files)
            yield job

    def _keep(self, checkpoints: Files) -> None:
        known = {self._checkpoint(job) for job in self.jobs.values()}
        with writing():
            write_files(self.folder.path, {n: c for n, c in checkpoints.items() if n in known})


def _shown(picture: Image.Image | None) -> Image.Image:
    assert picture is not None, "images come with the news on request"
    return picture
