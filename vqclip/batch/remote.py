"""The engine of a Ray cluster: jobs to workers, files and checkpoints back into the folder.

Workers come and go. A job whose worker is lost goes to another one, from its newest checkpoint;
only one that takes worker after worker with it has failed.
"""

import math
import time
from collections import defaultdict, deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from vqclip import __version__
from vqclip.batch.cluster import Cluster, first_words
from vqclip.batch.engine import OnStep, grouped, models_key, shape
from vqclip.batch.folder import RunFolder
from vqclip.batch.jobs import FAILED, Job
from vqclip.batch.worker import Files, Greeting, News, Worker, WorkerResult, read_files, write_files
from vqclip.errors import VqclipError
from vqclip.files.atomic import writing
from vqclip.generation.parallel import MOST

TRIES = 3  # workers that a job may take with it
_LOOK_AROUND = 5.0  # seconds between looks for new nodes
_PATIENCE = 300.0  # seconds that no worker at all may be there
_FAREWELL = 20.0  # seconds for workers to hand in their checkpoints

Note = Callable[[str], None]


@dataclass(eq=False)
class Hand:
    """A worker as seen from here.

    actor: Ray's handle. node, machine: where it is, known when it has greeted.
    calls: what it was asked and has not answered, with what takes the answer.
    jobs: those that it draws.
    """

    actor: Any
    calls: dict[Any, Callable[["Hand", Any], Iterator[Job]]]
    node: str | None = None
    machine: str = "?"
    jobs: tuple[Job, ...] = ()


class Remote:
    """The engine of a cluster. Used as a context: at its end the workers go.

    on_step: is told of every job's steps about twice a second; with ``look``, with images.
    note: is told, in a line, what went wrong and is mended.
    width: so many jobs a worker draws side by side; None is as many as pay on a GPU, else one.
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
        self.waiting: deque[Job] = deque()
        self.hands: list[Hand] = []
        self.lost: dict[str, list[str | None]] = defaultdict(list)  # job to its workers' nodes
        self.stillborn = 0  # workers in a row that never greeted
        self.seen = time.monotonic()  # when a worker was last there
        self.looked = -math.inf  # when the nodes were last counted

    def __enter__(self) -> "Remote":
        return self

    def __exit__(self, *error: object) -> None:
        self._dismiss()

    def __call__(self, jobs: Iterable[Job]) -> Generator[Job, None, None]:
        """Yield every job when it is done or has failed.

        Raises:
            VqclipError: no worker can be had, or the disk of one is full; finished jobs are kept.
        """
        for alike in grouped(jobs, lambda job: models_key(job.config)):
            self.waiting.extend(alike)
        while self.waiting or any(hand.jobs for hand in self.hands):
            self._hire()
            self._assign()
            for hand, call in self._answered():
                yield from self._take(hand, call)
            self._check_patience()

    def _hire(self) -> None:
        """Ask for as many workers as there is work and room for."""
        if self.hands and time.monotonic() - self.looked < _LOOK_AROUND:
            return
        self.looked = time.monotonic()
        need = self.cluster.need
        open_jobs = len(self.waiting) + sum(len(hand.jobs) for hand in self.hands)
        for _ in range(len(self.hands), max(1, min(open_jobs, self.cluster.room()))):
            worker = self.ray.remote(Worker).options(**need, max_concurrency=4)
            actor = worker.remote(
                need["num_cpus"], self.width, str(Path.cwd()), gpu=bool(need["num_gpus"])
            )
            hand = Hand(actor, {})
            hand.calls[actor.greet.remote()] = self._greeted
            self.hands.append(hand)

    def _assign(self) -> None:
        for hand in self.hands:
            if hand.node and not hand.jobs and self.waiting:
                hand.jobs = self._next()
                begun = read_files(self.folder.path, [self._checkpoint(j) for j in hand.jobs])
                hand.calls[hand.actor.draw.remote(hand.jobs, begun)] = self._drew
                if self._asks_nothing(hand):
                    self._ask(hand)

    def _next(self) -> tuple[Job, ...]:
        """Return jobs to draw side by side; one that lost a worker is drawn alone."""
        fair = math.ceil(len(self.waiting) / sum(not hand.jobs for hand in self.hands))
        most = self.width or (MOST if self.cluster.need["num_gpus"] else 1)
        jobs = [self.waiting.popleft()]
        while self.waiting and len(jobs) < min(most, fair):
            if shape(self.waiting[0].config) != shape(jobs[0].config):
                break
            if self.lost.keys() & {jobs[0].key, self.waiting[0].key}:
                break
            jobs.append(self.waiting.popleft())
        return tuple(jobs)

    def _checkpoint(self, job: Job) -> str:
        return self.folder.checkpoint(job).relative_to(self.folder.path).as_posix()

    def _asks_nothing(self, hand: Hand) -> bool:
        return self._told not in hand.calls.values()

    def _ask(self, hand: Hand) -> None:
        hand.calls[hand.actor.news.remote(self.look)] = self._told

    def _answered(self) -> list[tuple[Hand, Any]]:
        calls = {call: hand for hand in self.hands for call in hand.calls}
        ready, _ = self.ray.wait(list(calls), timeout=_LOOK_AROUND)
        return [(calls[call], call) for call in ready]

    def _take(self, hand: Hand, call: Any) -> Iterator[Job]:
        """Do with an answer what is to be done; yield the jobs that ended with it."""
        take = hand.calls.pop(call, None)
        if take is None:  # it was let go since
            return
        try:
            value = self.ray.get(call)
        except self.ray.exceptions.RayTaskError as error:
            raise VqclipError(f"on {hand.machine}: {first_words(error.cause)}") from error
        except self.ray.exceptions.RayError as error:
            yield from self._mourn(hand, error)
        else:
            yield from take(hand, value)

    def _greeted(self, hand: Hand, greeting: Greeting) -> Iterator[Job]:
        hand.node, hand.machine, self.stillborn = greeting.node, greeting.machine, 0
        if greeting.version != __version__:
            raise VqclipError(
                f"{hand.machine} has vqclip {greeting.version}, this machine {__version__}: "
                "install the same version on all of them"
            )
        yield from ()

    def _told(self, hand: Hand, news: News) -> Iterator[Job]:
        """Write down the checkpoints, and show how far the jobs are that are still under way."""
        self._keep(hand, news.checkpoints)
        for job in hand.jobs:
            if self.on_step and job.key in news.steps:
                self.on_step(job, news.steps[job.key], lambda: _given(news.picture))
        if hand.jobs:
            self._ask(hand)
        yield from ()

    def _drew(self, hand: Hand, drawn: WorkerResult) -> Iterator[Job]:
        self._keep(hand, drawn.checkpoints)
        hand.jobs = ()
        for job, files in drawn.jobs:
            with writing():
                write_files(self.folder.path, files)
            if job.error and len(self.cluster.alive()) > 1:
                job = replace(job, error=f"{job.error} (on {hand.machine})")
            yield job

    def _keep(self, hand: Hand, checkpoints: Files) -> None:
        known = {self._checkpoint(job) for job in hand.jobs}
        with writing():
            write_files(self.folder.path, {n: c for n, c in checkpoints.items() if n in known})

    def _mourn(self, hand: Hand, error: Exception) -> Iterator[Job]:
        """Take note that a worker is lost; its jobs are next, but for one that killed several."""
        self._let_go(hand)
        if hand.node is None:
            self._stillborn(error)
        alive = self.cluster.alive()
        for job in reversed(hand.jobs):
            self.lost[job.key].append(hand.node)
            # A node that went away was no fault of the job's.
            if sum(node in alive for node in self.lost[job.key]) < TRIES:
                self.waiting.appendleft(job)
                if self.note:
                    self.note(f"a worker on {hand.machine} is lost: {job.name} continues elsewhere")
            else:
                told = f"its worker died {TRIES} times, at last on {hand.machine}: "
                yield replace(job, state=FAILED, error=told + first_words(error), files=())

    def _stillborn(self, error: Exception) -> None:
        self.stillborn += 1
        if "No module named 'vqclip'" in str(error):
            raise VqclipError(
                "a node of the cluster has no vqclip: pip install 'vqclip[ray]' on all of them"
            ) from error
        if self.stillborn >= TRIES:
            raise VqclipError(f"workers do not start: {first_words(error)}") from error

    def _check_patience(self) -> None:
        if any(hand.node for hand in self.hands):
            self.seen = time.monotonic()
        elif time.monotonic() - self.seen > _PATIENCE:
            need = self.cluster.need
            wanted = "a free GPU" if need["num_gpus"] else f"{need['num_cpus']} free CPUs"
            raise VqclipError(
                f"no worker has come up for {_PATIENCE:.0f} s: the cluster is busy, or no node of "
                f"it has {wanted}; finished jobs are kept"
            )

    def _dismiss(self) -> None:
        """Let the workers go; those at work hand in their checkpoints first."""
        busy = [hand for hand in self.hands if hand.jobs]
        for hand in busy:
            hand.actor.stop.remote()
        calls = {c: hand for hand in busy for c, take in hand.calls.items() if take == self._drew}
        if calls:
            ready, _ = self.ray.wait(list(calls), num_returns=len(calls), timeout=_FAREWELL)
            for call in ready:
                with suppress(self.ray.exceptions.RayError, VqclipError):
                    self._keep(calls[call], self.ray.get(call).checkpoints)
        for hand in list(self.hands):
            self._let_go(hand)

    def _let_go(self, hand: Hand) -> None:
        self.hands.remove(hand)
        hand.calls.clear()
        with suppress(self.ray.exceptions.RayError, ValueError):
            self.ray.kill(hand.actor)


def _given(picture: Image.Image | None) -> Image.Image:
    assert picture is not None, "pictures come with the news where they are asked for"
    return picture
