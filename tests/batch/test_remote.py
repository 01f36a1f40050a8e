"""The engine of a cluster: what becomes of jobs whose workers and nodes are lost.

Ray itself is played here, call by call; tests/cli/test_batch_ray.py has a real cluster.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.runs.test_checkpoint import BASE
from vqclip import __version__
from vqclip.batch.cluster import Cluster
from vqclip.batch.folder import RunFolder
from vqclip.batch.jobs import DONE, FAILED, Job, with_names
from vqclip.batch.remote import TRIES, Remote
from vqclip.batch.worker import Greeting, News, WorkerResult
from vqclip.errors import VqclipError

JOBS = with_names([Job(replace(BASE, seed=seed)) for seed in range(3)])
PLACES = [f"checkpoints/{job.name}.checkpoint.safetensors" for job in JOBS]


class RayError(Exception):
    pass


class RayTaskError(RayError):
    cause = VqclipError("cannot write: no space left on device")


class Call:
    def __init__(self, actor: "Actor", kind: str, answer: Callable[[], Any]) -> None:
        self.actor, self.kind, self.answer = actor, kind, answer


class Method:
    def __init__(self, actor: "Actor", kind: str, answer: Callable[..., Any]) -> None:
        self.actor, self.kind, self.answer = actor, kind, answer

    def remote(self, *values: Any) -> Call:
        return Call(self.actor, self.kind, lambda: self.answer(*values))


class Actor:
    def __init__(self, ray: "Ray", node: str) -> None:
        self.node, self.told, self.stopped = node, False, False
        self.greet = Method(self, "greet", lambda: ray.greet(node))
        self.draw = Method(self, "draw", lambda jobs, begun: ray.draw(self, jobs, begun))
        self.news = Method(self, "news", lambda look: ray.news)
        self.stop = SimpleNamespace(remote=lambda: setattr(self, "stopped", True))


class Ray:
    """Workers that answer when they are waited for."""

    exceptions = SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)

    def __init__(self, *nodes: str) -> None:
        self.alive = list(nodes)
        self.actors: list[Actor] = []
        self.killed: list[Actor] = []
        self.drawn: list[tuple[str, list[str], dict[str, bytes]]] = []  # node, jobs, checkpoints
        self.news = News()
        self.version = __version__
        self.fails: Callable[[Actor, Job], Exception | None] = lambda actor, job: None

    def nodes(self) -> list[dict[str, Any]]:
        return [
            {"NodeID": n, "Alive": True, "Resources": {"CPU": 1.0, "GPU": 1.0}} for n in self.alive
        ]

    def remote(self, worker: type) -> Any:
        def make(*values: Any, **more: Any) -> Actor:
            busy = [a.node for a in self.actors if a not in self.killed]
            free = [node for node in self.alive if node not in busy] or self.alive
            self.actors.append(Actor(self, free[0]))
            return self.actors[-1]

        return SimpleNamespace(options=lambda **need: SimpleNamespace(remote=make))

    def greet(self, node: str) -> Greeting:
        return Greeting(node, f"host-{node}", self.version)

    def draw(self, actor: Actor, jobs: tuple[Job, ...], begun: dict[str, bytes]) -> WorkerResult:
        self.drawn.append((actor.node, [job.name for job in jobs], dict(begun)))
        for job in jobs:
            if error := self.fails(actor, job):
                raise error
        if actor.stopped:
            places = [f"checkpoints/{job.name}.checkpoint.safetensors" for job in jobs]
            return WorkerResult([], dict.fromkeys(places, b"stopped"))
        ended = [replace(job, state=DONE, files=(job.picture,)) for job in jobs]
        return WorkerResult([(job, {job.picture: job.name.encode()}) for job in ended], {})

    def wait(
        self, calls: list[Call], num_returns: int = 1, timeout: float = 0
    ) -> tuple[list[Call], list[Call]]:
        """Answer greetings first, then for every result one news before it."""
        order = sorted(calls, key=self._rank)
        return order[:num_returns], order[num_returns:]

    def _rank(self, call: Call) -> int:
        return {"greet": 0, "news": 3 if call.actor.told else 1, "draw": 2}[call.kind]

    def get(self, call: Call) -> Any:
        call.actor.told = call.kind == "news"
        return call.answer()

    def kill(self, actor: Actor) -> None:
        self.killed.append(actor)


@pytest.fixture
def folder() -> RunFolder:
    return RunFolder(Path("run"))


def engine(ray: Ray, folder: RunFolder, *, gpus: int = 0, **options: Any) -> Remote:
    return Remote(folder, Cluster(ray, {"num_cpus": 1, "num_gpus": gpus}), **options)


def drawn(remote: Remote, jobs: list[Job] = JOBS) -> dict[str, Job]:
    with remote:
        return {job.name: job for job in remote(jobs)}


def test_files_and_steps_come_back(folder: RunFolder) -> None:
    ray, steps = Ray("a", "b"), []
    ray.news = News({job.key: 1 for job in JOBS}, None, dict.fromkeys(PLACES, b"at 1"))
    jobs = drawn(engine(ray, folder, on_step=lambda job, step, picture: steps.append(job.name)))
    assert {job.state for job in jobs.values()} == {DONE}
    for job in JOBS:
        assert (folder.path / job.picture).read_bytes() == job.name.encode()
        assert folder.checkpoint(job).read_bytes() == b"at 1"
    assert set(steps) == set(jobs)
    assert len(ray.actors) == 2
    assert set(ray.killed) == set(ray.actors)


def test_a_lost_worker_s_job_goes_on_elsewhere(folder: RunFolder) -> None:
    ray, notes = Ray("a", "b"), []
    ray.news = News({}, None, dict.fromkeys(PLACES, b"at 1"))
    losses: Iterator[Exception | None] = iter([RayError("the actor died")])
    ray.fails = lambda actor, job: next(losses, None) if job == JOBS[0] else None
    jobs = drawn(engine(ray, folder, note=notes.append))
    assert {job.state for job in jobs.values()} == {DONE}
    tries = [begun for _, names, begun in ray.drawn if names == [JOBS[0].name]]
    assert tries == [{}, {PLACES[0]: b"at 1"}]
    assert notes == [f"a worker on host-a is lost: {JOBS[0].name} continues elsewhere"]


def test_a_job_that_kills_its_workers_fails_and_no_other(folder: RunFolder) -> None:
    ray = Ray("a", "b")
    ray.fails = lambda actor, job: RayError("low on memory") if job.name == JOBS[1].name else None
    jobs = drawn(engine(ray, folder))
    assert [jobs[job.name].state for job in JOBS] == [DONE, FAILED, DONE]
    error = str(jobs[JOBS[1].name].error)
    assert error.startswith(f"its worker died {TRIES} times")
    assert error.endswith("low on memory")
    assert sum(names == [JOBS[1].name] for _, names, _ in ray.drawn) == TRIES


def test_lost_nodes_are_no_fault_of_the_job(folder: RunFolder) -> None:
    ray = Ray("a", "b", "c", "d", "e")

    def fails(actor: Actor, job: Job) -> Exception | None:
        if len(ray.alive) == 1 or actor.node not in ray.alive or job.name != JOBS[0].name:
            return None
        ray.alive.remove(actor.node)
        return RayError("the node died")

    ray.fails = fails
    jobs = drawn(engine(ray, folder))
    assert {job.state for job in jobs.values()} == {DONE}
    assert sum(names == [JOBS[0].name] for _, names, _ in ray.drawn) > TRIES


def test_side_by_side_but_alone_after_a_loss(folder: RunFolder) -> None:
    ray = Ray("a")
    losses: Iterator[Exception | None] = iter([RayError("died")])
    ray.fails = lambda actor, job: next(losses, None)
    drawn(engine(ray, folder, width=2))
    assert [len(names) for _, names, _ in ray.drawn] == [2, 1, 1, 1]


@pytest.mark.parametrize(
    ("nodes", "count", "lots"), [("a", 9, [8, 1]), ("ab", 9, [5, 4]), ("abc", 3, [1, 1, 1])]
)
def test_gpus_share_what_there_is(
    folder: RunFolder, nodes: str, count: int, lots: list[int]
) -> None:
    ray = Ray(*nodes)
    drawn(
        engine(ray, folder, gpus=1),
        with_names([Job(replace(BASE, seed=seed)) for seed in range(count)]),
    )
    assert [len(names) for _, names, _ in ray.drawn] == lots


def test_leaving_it_stops_the_workers_and_keeps_their_checkpoints(folder: RunFolder) -> None:
    ray = Ray("a", "b")
    with engine(ray, folder) as remote:
        jobs = remote(JOBS)
        next(jobs)
        jobs.close()
    assert sum(actor.stopped for actor in ray.actors) >= 1
    kept = [job for job in JOBS if folder.checkpoint(job).exists()]
    assert kept
    assert folder.checkpoint(kept[0]).read_bytes() == b"stopped"
    assert set(ray.killed) == set(ray.actors)


def test_a_full_disk_of_a_node_ends_it(folder: RunFolder) -> None:
    ray = Ray("a")
    ray.fails = lambda actor, job: RayTaskError("a page of text")
    with pytest.raises(VqclipError, match="on host-a: cannot write: no space left"):
        drawn(engine(ray, folder))


def test_other_versions_are_told(folder: RunFolder) -> None:
    ray = Ray("a")
    ray.version = "0.0.1"
    with pytest.raises(VqclipError, match=r"host-a has vqclip 0\.0\.1, this machine"):
        drawn(engine(ray, folder))


@pytest.mark.parametrize(
    ("error", "message"),
    [
        ("creation: ModuleNotFoundError: No module named 'vqclip'", "a node .* has no vqclip"),
        ("something else", "workers do not start: something else"),
    ],
)
def test_workers_that_do_not_start_are_told(folder: RunFolder, error: str, message: str) -> None:
    class Dead(Ray):
        def greet(self, node: str) -> Greeting:
            raise RayError(error)

    with pytest.raises(VqclipError, match=message):
        drawn(engine(Dead("a"), folder))


def test_without_any_worker_it_ends_after_a_while(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Busy(Ray):
        def wait(self, calls: list[Call], *_: Any, **more: Any) -> tuple[list[Call], list[Call]]:
            return [], calls

    monkeypatch.setattr("vqclip.batch.remote._PATIENCE", -1.0)
    with pytest.raises(VqclipError, match="no node of it has 1 free CPUs"):
        drawn(engine(Busy("a"), folder))
