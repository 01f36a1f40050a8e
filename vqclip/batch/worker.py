"""A process of a cluster that draws: it keeps its models, and its files for as long as a job takes.

It sees nothing of the run's folder: checkpoints come and go as bytes, and so do the files that
jobs leave, so that nothing need be shared but the cluster itself.
"""

import os
import platform
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from PIL import Image

from vqclip import __version__
from vqclip.batch.engine import Loader, Local
from vqclip.batch.folder import RunFolder
from vqclip.batch.jobs import Job
from vqclip.files.atomic import replacing
from vqclip.models.portable import threads

NEWS_EVERY = 0.5  # seconds

Files = Mapping[str, bytes]  # path below the run's folder, to content


@dataclass(frozen=True)
class WorkerResult:
    """What became of the jobs of a worker.

    jobs: those that ended, with the files that they left, the image first.
    checkpoints: of those that were to stop.
    """

    jobs: Sequence[tuple[Job, Files]]
    checkpoints: Files


@dataclass(frozen=True)
class News:
    """How far a worker is.

    steps: of each job under way, by its key. image: of the latest one, where it was requested.
    checkpoints: those written since the last news.
    """

    steps: Mapping[str, int] = field(default_factory=dict)
    picture: Image.Image | None = None
    checkpoints: Files = field(default_factory=dict)


@dataclass(frozen=True)
class Greeting:
    """Who a worker is: Ray's name of its node, the machine's own, and vqclip's version there."""

    node: str
    machine: str
    version: str


class Worker:
    """Draws jobs, one lot after the other; news of them can be had meanwhile, from other threads.

    threads: of torch; their number changes how it rounds.
    width: so many jobs are drawn side by side, see :class:`vqclip.batch.engine.Local`.
    place: the folder from which the names of images and models are seen, where there is one.
    gpu: whether one is this worker's own; else it must use none.
    """

    def __init__(self, threads: int, width: int | None, place: str, *, gpu: bool) -> None:
        self.threads, self.width, self.load = threads, width, Loader()
        self.stopping = threading.Event()
        self.folder: RunFolder | None = None
        self.steps: dict[str, int] = {}
        self.picture: Callable[[], Image.Image] | None = None
        self.told: dict[Path, int] = {}
        with suppress(OSError):
            os.chdir(place)
        if not gpu:
            os.environ["CUDA_VISIBLE_DEVICES"] = ""

    def greet(self) -> Greeting:
        """Tell who this is."""
        import ray

        return Greeting(ray.get_runtime_context().get_node_id(), platform.node(), __version__)

    def draw(self, jobs: Sequence[Job], begun: Files) -> WorkerResult:
        """Draw jobs, from their checkpoints where they were ``begun``.

        Raises:
            VqclipError: the disk of this machine is full.
        """
        torch.set_num_threads(
            threads(self.threads)
        )  # of this thread: each has a setting of its own
        with TemporaryDirectory(prefix="vqclip-") as path:
            folder = RunFolder(Path(path))
            write_files(folder.path, begun)
            self.steps, self.told, self.folder = {}, {}, folder
            ended: list[tuple[Job, Files]] = []
            try:
                for job in Local(folder, self._at_step, self.load, self.width)(jobs):
                    ended.append((job, read_files(folder.path, job.files)))
            except KeyboardInterrupt:  # out of _at_step
                pass
            finally:
                self.folder = self.picture = None
            return WorkerResult(ended, self._checkpoints(folder) if self.stopping.is_set() else {})

    def _at_step(self, job: Job, step: int, picture: Callable[[], Image.Image]) -> None:
        self.steps[job.key], self.picture = step, picture
        if self.stopping.is_set():
            raise KeyboardInterrupt

    def news(self, look: bool = False) -> News:
        """Return how far the jobs are, and if ``look`` is set an image; it takes a moment."""
        time.sleep(NEWS_EVERY)
        folder, picture = self.folder, self.picture
        if folder is None:
            return News()
        shown = picture() if look and picture else None
        return News(dict(self.steps), shown, self._checkpoints(folder))

    def stop(self) -> None:
        """Let :meth:`draw` end at the next step, with a checkpoint."""
        self.stopping.set()

    def _checkpoints(self, folder: RunFolder) -> Files:
        """Return the checkpoints that were written since they were last returned."""
        names = []
        for path in sorted((folder.path / "checkpoints").glob("[!.]*")):
            with suppress(FileNotFoundError):
                written = path.stat().st_mtime_ns
                if self.told.get(path) != written:
                    self.told[path] = written
                    names.append(path.relative_to(folder.path).as_posix())
        return read_files(folder.path, names)


def read_files(folder: Path, names: Sequence[str]) -> Files:
    """Return the contents of those files below ``folder`` that are still there."""
    contents: dict[str, bytes] = {}
    for name in names:
        with suppress(FileNotFoundError):
            contents[name] = (folder / name).read_bytes()
    return contents


def write_files(folder: Path, files: Files) -> None:
    """Write files below ``folder``, each at once or not at all, the first one last.

    Raises:
        OSError: they cannot be written.
    """
    for name, content in reversed(list(files.items())):
        with replacing(folder / name, overwrite=True) as temporary:
            temporary.write_bytes(content)
