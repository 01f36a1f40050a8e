"""The worker side of a Ray cluster: rendering jobs and reporting progress.

Tasks cannot access the run's folder: checkpoints and job files are sent as bytes, so that the
machines need no shared disk. Ray repeats a task whose worker or node is lost; its jobs then resume
from the newest checkpoints received by the board.
"""

import os
import platform
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from vqclip import __version__
from vqclip.batch.engine import Loader, Local
from vqclip.batch.folder import RunFolder
from vqclip.batch.jobs import Job
from vqclip.errors import VqclipError
from vqclip.files.atomic import replacing
from vqclip.models.portable import threads

NEWS_EVERY = 0.5  # seconds between reports

Files = Mapping[str, bytes]  # contents by path below the run's folder
_load = Loader()  # Ray reuses a process for successive tasks


@dataclass(frozen=True)
class JobGroup:
    """Jobs that one task renders side by side.

    checkpoints: checkpoints to resume the jobs from.
    threads: number of torch threads, which affects rounding.
    width: see :class:`vqclip.batch.engine.Local`.
    place: base folder for relative paths of images and models, if it exists.
    gpu: whether the task has its own GPU; if not, it must not use one.
    """

    jobs: tuple[Job, ...]
    checkpoints: Files
    threads: int
    width: int | None
    place: str
    gpu: bool
    version: str = __version__


@dataclass
class News:
    """The reports since the last call.

    steps: step of each running job, by key. checkpoints: the newest checkpoints.
    resumed: names of restarted jobs, and their machines.
    """

    steps: dict[str, int] = field(default_factory=dict)
    checkpoints: dict[str, bytes] = field(default_factory=dict)
    resumed: list[tuple[str, str]] = field(default_factory=list)


class Board:
    """The newest reports of all tasks, as a Ray actor on the machine that started the batch."""

    def __init__(self) -> None:
        self.checkpoints: dict[str, bytes] = {}
        self.begun: set[str] = set()
        self.unread = News()

    def begin(self, names: Sequence[str], machine: str) -> Files:
        """Record that a machine starts jobs, given by name; return their checkpoints."""
        self.unread.resumed += [(name, machine) for name in names if name in self.begun]
        self.begun.update(names)
        return {path: file for path, file in self.checkpoints.items() if _stem(path) in names}

    def report(self, steps: Mapping[str, int], files: Files) -> None:
        """Record jobs' progress and the checkpoints that they wrote."""
        self.unread.steps.update(steps)
        self.unread.checkpoints.update(files)
        self.checkpoints.update(files)

    def end(self, names: Iterable[str]) -> None:
        """Remove the checkpoints of finished jobs."""
        for name in names:
            for path in [path for path in self.checkpoints if _stem(path) == name]:
                del self.checkpoints[path]

    def news(self) -> News:
        """Return the reports since the last call."""
        news, self.unread = self.unread, News()
        return news


def _stem(path: str) -> str:
    return Path(path).name.partition(".checkpoint")[0]


def render_group(group: JobGroup, board: Any) -> list[tuple[Job, Files]]:
    """Return the finished jobs of a group with their files, the image first; run as a Ray task.

    Raises:
        VqclipError: the vqclip version differs or this machine's disk is full.
    """
    import ray

    machine = platform.node()
    if group.version != __version__:
        raise VqclipError(
            f"{machine} has vqclip {__version__}, but the run was started with "
            f"{group.version}: install the same version on every machine"
        )
    newest = ray.get(board.begin.remote([job.name for job in group.jobs], machine))
    with suppress(OSError):
        os.chdir(group.place)
    if not group.gpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    torch.set_num_threads(threads(group.threads))
    try:
        return _drawn(group, {**group.checkpoints, **newest}, board, ray.get)
    except VqclipError as error:
        raise VqclipError(f"on {machine}: {error}") from error


def _drawn(
    group: JobGroup, checkpoints: Files, board: Any, get: Callable[[Any], Any]
) -> list[tuple[Job, Files]]:
    with TemporaryDirectory(prefix="vqclip-") as path:
        folder = RunFolder(Path(path))
        write_files(folder.path, checkpoints)
        reporter = Reporter(folder, board)
        try:
            jobs = Local(folder, reporter.step, _load, group.width)(group.jobs)
            return [(job, read_files(folder.path, job.files)) for job in jobs]
        except KeyboardInterrupt:  # Ray's, when the task is cancelled
            get(reporter.report())
            raise


class Reporter:
    """Reports steps and checkpoints of the jobs in ``folder`` to the board."""

    def __init__(self, folder: RunFolder, board: Any) -> None:
        self.folder, self.board = folder, board
        self.steps: dict[str, int] = {}
        self.written: dict[Path, int] = {}
        self.reported = time.monotonic()

    def step(self, job: Job, step: int, picture: object) -> None:
        """Record a job's step, and send a report from time to time."""
        self.steps[job.key] = step
        if time.monotonic() - self.reported >= NEWS_EVERY:
            self.report()

    def report(self) -> Any:
        """Send new reports to the board; return Ray's reference to the call."""
        sent = self.board.report.remote(self.steps, self._checkpoints())
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
    """Return the contents of the files below ``folder`` that still exist."""
    contents: dict[str, bytes] = {}
    for name in names:
        with suppress(FileNotFoundError):
            contents[name] = (folder / name).read_bytes()
    return contents


def write_files(folder: Path, files: Files) -> None:
    """Write files below ``folder``, each atomically, the first one last.

    Raises:
        OSError: a file cannot be written.
    """
    for name, content in reversed(list(files.items())):
        with replacing(folder / name, overwrite=True) as temporary:
            temporary.write_bytes(content)
