"""The worker side of a Ray cluster: rendering jobs and reporting progress.

Tasks cannot access the run folder. Checkpoints and job files are sent as bytes, so the machines
need no shared disk. If a worker or node is lost, Ray repeats its task, and the jobs in the task
resume from the newest checkpoints that the :class:`Board` has received.
"""

import os
import platform
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from PIL import Image

from vqclip.batch.engine import Loader, Local
from vqclip.batch.folder import RunFolder
from vqclip.batch.jobs import FAILED, Job
from vqclip.errors import VqclipError
from vqclip.files.atomic import replacing
from vqclip.files.version import __version__
from vqclip.models.portable import threads

NEWS_EVERY = 0.5  # seconds between reports
TRIES = 3  # number of workers that a job may crash

Files = Mapping[str, bytes]  # contents by path below the run's folder
_load = Loader()  # Ray reuses a process for successive tasks


@dataclass(frozen=True)
class JobGroup:
    """The jobs of one Ray task, and how to run them.

    checkpoints: checkpoints to resume the jobs from.
    threads: number of torch threads, which affects rounding.
    width: see :class:`vqclip.batch.engine.Local`.
    place: base folder for relative paths of images and models, ignored on machines that do not have
        it.
    gpu: whether the task has its own GPU; if not, it must not use one.
    look: whether to report images.
    """

    jobs: tuple[Job, ...]
    checkpoints: Files
    threads: int
    width: int | None
    place: str
    gpu: bool
    look: bool
    version: str = __version__


@dataclass
class News:
    """The reports since the last call to :meth:`Board.news`.

    steps: latest step of each running job, by the job's key.
    picture: the latest image, if requested.
    checkpoints: contents of the newest checkpoint files, by path.
    resumed: name of each restarted job, with the machine that now runs it.
    busy: whether any task is running.
    """

    steps: dict[str, int] = field(default_factory=dict)
    picture: Image.Image | None = None
    checkpoints: dict[str, bytes] = field(default_factory=dict)
    resumed: list[tuple[str, str]] = field(default_factory=list)
    busy: bool = False


class Board:
    """The newest reports from all tasks, kept by a Ray actor on the node that started the batch.

    alive: function that returns the ids of the connected nodes.
    """

    def __init__(self, alive: Callable[[], set[str]]) -> None:
        self.alive = alive
        self.checkpoints: dict[str, bytes] = {}
        self.begun: dict[str, list[str]] = defaultdict(list)  # nodes that started each job
        self.active: dict[str, str] = {}  # node that renders each job
        self.unread = News()

    def begin(self, names: Sequence[str], node: str, machine: str) -> tuple[int, Files]:
        """Record that a node is starting the jobs with these names.

        Return the largest number of workers that any of the jobs has lost, and the jobs'
        checkpoints. Workers on nodes that are no longer connected do not count, because losing a
        whole node is not a job's fault.
        """
        alive, lost = self.alive(), 0
        for name in names:
            lost = max(lost, sum(before in alive for before in self.begun[name]))
            if self.begun[name]:
                self.unread.resumed.append((name, machine))
            self.begun[name].append(node)
            self.active[name] = node
        known = {path: file for path, file in self.checkpoints.items() if _stem(path) in names}
        return lost, known

    def report(self, steps: Mapping[str, int], picture: Image.Image | None, files: Files) -> None:
        """Record the progress of jobs and the checkpoints that they wrote."""
        self.unread.steps.update(steps)
        self.unread.picture = picture or self.unread.picture
        self.unread.checkpoints.update(files)
        self.checkpoints.update(files)

    def end(self, names: Iterable[str]) -> None:
        """Remove finished jobs and their checkpoints."""
        for name in names:
            self.active.pop(name, None)
            for path in [path for path in self.checkpoints if _stem(path) == name]:
                del self.checkpoints[path]

    def news(self) -> News:
        """Return the reports since the last call."""
        news, self.unread = self.unread, News()
        news.busy = not self.alive().isdisjoint(self.active.values())
        return news


def _stem(path: str) -> str:
    return Path(path).name.partition(".checkpoint")[0]


def render_group(group: JobGroup, board: Any) -> list[tuple[Job, Files]] | None:
    """Render the jobs of a group in a Ray task.

    Returns:
        The jobs with their files, image first. None if an earlier worker on the same group of jobs
        was lost; the caller must then run the jobs one by one, because one of them may have
        caused the loss.

    Raises:
        VqclipError: this machine has another version of vqclip, or its disk is full.
    """
    import ray

    machine = platform.node()
    if group.version != __version__:
        raise VqclipError(
            f"{machine} has vqclip {__version__}, but the run was started with "
            f"{group.version}: install the same version on every machine"
        )
    node = ray.get_runtime_context().get_node_id()
    names = [job.name for job in group.jobs]
    lost, checkpoints = ray.get(board.begin.remote(names, node, machine))
    if lost and len(group.jobs) > 1:
        return None
    if lost >= TRIES:
        died = f"its worker died {TRIES} times, last on {machine}"
        error = f"{died}: check that there is enough memory"
        return [(replace(job, state=FAILED, error=error, files=()), {}) for job in group.jobs]
    with suppress(OSError):
        os.chdir(group.place)
    if not group.gpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    torch.set_num_threads(threads(group.threads))
    try:
        return _drawn(group, {**group.checkpoints, **checkpoints}, board, ray.get)
    except VqclipError as error:
        raise VqclipError(f"on {machine}: {error}") from error


def _drawn(
    group: JobGroup, checkpoints: Files, board: Any, get: Callable[[Any], Any]
) -> list[tuple[Job, Files]]:
    with TemporaryDirectory(prefix="vqclip-") as path:
        folder = RunFolder(Path(path))
        write_files(folder.path, checkpoints)
        reporter = Reporter(folder, board, look=group.look)
        try:
            jobs = Local(folder, reporter.step, _load, group.width)(group.jobs)
            return [(job, read_files(folder.path, job.files)) for job in jobs]
        except KeyboardInterrupt:  # Ray's, when the task is cancelled
            get(reporter.report())
            raise


class Reporter:
    """Reports the steps, images and checkpoints of jobs in ``folder`` to the board."""

    def __init__(self, folder: RunFolder, board: Any, *, look: bool) -> None:
        self.folder, self.board, self.look = folder, board, look
        self.steps: dict[str, int] = {}
        self.picture: Callable[[], Image.Image] | None = None
        self.written: dict[Path, int] = {}
        self.reported = time.monotonic()

    def step(self, job: Job, step: int, picture: Callable[[], Image.Image]) -> None:
        """Record a job's step, and send a report at most twice a second."""
        self.steps[job.key], self.picture = step, picture
        if time.monotonic() - self.reported >= NEWS_EVERY:
            self.report()

    def report(self) -> Any:
        """Send a report to the board, and return Ray's reference to the call."""
        shown = self.picture() if self.look and self.picture else None
        sent = self.board.report.remote(self.steps, shown, self._checkpoints())
        self.steps, self.reported = {}, time.monotonic()
        return sent

    def _checkpoints(self) -> Files:
        names = []
        for path in sorted((self.folder.path / "checkpoints").glob("[!.]*")):
            with suppress(FileNotFoundError):
                written = path.stat().st_mtime_ns
                if self.written.get(path) != written:
                    self.written[path] = written
                    names.append(path.relative_to(self.folder.path).as_posix())
        return read_files(self.folder.path, names)


def read_files(folder: Path, names: Sequence[str]) -> Files:
    """Return the contents of those files below ``folder`` that still exist."""
    contents: dict[str, bytes] = {}
    for name in names:
        with suppress(FileNotFoundError):
            contents[name] = (folder / name).read_bytes()
    return contents


def write_files(folder: Path, files: Files) -> None:
    """Write files below ``folder`` atomically, in reverse order, so that the image is last.

    Raises:
        OSError: a file cannot be written.
    """
    for name, content in reversed(list(files.items())):
        with replacing(folder / name, overwrite=True) as temporary:
            temporary.write_bytes(content)
