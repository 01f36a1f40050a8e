"""The cluster engine: tasks, their results, and lost tasks.

Ray is replaced by a fake; tests/cli/test_batch_ray.py uses a real cluster.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.batch.test_worker import Remote as Handle
from tests.runs.test_checkpoint import BASE
from vqclip.batch.cluster import Cluster
from vqclip.batch.folder import RunFolder
from vqclip.batch.jobs import DONE, FAILED, Job, with_names
from vqclip.batch.remote import Remote
from vqclip.batch.worker import Board, Files, JobGroup
from vqclip.errors import VqclipError

JOBS = with_names([Job(replace(BASE, seed=seed)) for seed in range(3)])
PLACES = [f"checkpoints/{job.name}.checkpoint.safetensors" for job in JOBS]


class RayError(Exception):
    pass


class RayTaskError(RayError):
    cause: Exception = VqclipError("on host-a: cannot write: no space left on device")


class Call:
    """A reference that is resolved on request."""

    def __init__(self, answer: Callable[[], Any]) -> None:
        self.answer = answer


class Ray:
    """A fake Ray whose tasks finish when they are awaited."""

    exceptions = SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)

    def __init__(self, *nodes: str) -> None:
        self.alive = list(nodes)
        self.lots: list[JobGroup] = []
        self.cancelled: list[Call] = []
        self.killed: list[Any] = []
        self.board: Any = None
        self.task: Callable[[JobGroup, Board], Any] = self.draw
        self.idle = False

    def nodes(self) -> list[dict[str, Any]]:
        return [
            {"NodeID": n, "Alive": True, "Resources": {"CPU": 1.0, "GPU": 1.0}} for n in self.alive
        ]

    def remote(self, target: Any) -> Any:
        def submit(lot: JobGroup, board: Any) -> Call:
            self.lots.append(lot)
            return Call(lambda: self.task(lot, self.board))

        def act(*values: Any) -> Any:
            self.board = target(*values)
            return Handle(self.board)

        made = act if isinstance(target, type) else submit
        return SimpleNamespace(options=lambda **_: SimpleNamespace(remote=made))

    def get_runtime_context(self) -> Any:
        return SimpleNamespace(get_node_id=lambda: "a" * 56)

    def draw(self, lot: JobGroup, board: Board) -> list[tuple[Job, Files]] | None:
        return [
            (replace(job, state=DONE, files=(job.picture,)), {job.picture: job.name.encode()})
            for job in lot.jobs
        ]

    def wait(self, calls: list[Call], num_returns: int = 1, timeout: float = 0) -> Any:
        return ([], calls) if self.idle else (calls[:num_returns], calls[num_returns:])

    def get(self, call: Any) -> Any:
        return call.answer() if isinstance(call, Call) else call

    def cancel(self, call: Call, *, recursive: bool) -> None:
        self.cancelled.append(call)

    def kill(self, actor: Any) -> None:
        self.killed.append(actor)


@pytest.fixture
def folder() -> RunFolder:
    pytest.importorskip("ray")
    return RunFolder(Path("run"))


def engine(ray: Ray, folder: RunFolder, *, gpus: int = 0, **options: Any) -> Remote:
    return Remote(folder, Cluster(ray, {"num_cpus": 1, "num_gpus": gpus}), **options)


def drawn(remote: Remote, jobs: list[Job] = JOBS) -> dict[str, Job]:
    with remote:
        return {job.name: job for job in remote(jobs)}


def test_files_steps_and_checkpoints_are_returned(folder: RunFolder) -> None:
    ray, steps = Ray("a", "b"), list[str]()

    def task(lot: JobGroup, board: Board) -> Any:
        board.report({JOBS[2].key: 7}, None, dict.fromkeys(PLACES, b"at 7"))
        return ray.draw(lot, board)

    ray.task = task
    jobs = drawn(
        engine(ray, folder, on_step=lambda job, step, _: steps.append(f"{job.name} {step}"))
    )
    assert {job.state for job in jobs.values()} == {DONE}
    for job in JOBS:
        assert (folder.path / job.picture).read_bytes() == job.name.encode()
    assert folder.checkpoint(JOBS[2]).read_bytes() == b"at 7"
    assert set(steps) == {f"{JOBS[2].name} 7"}
    assert (len(ray.killed), ray.cancelled) == (1, [])


def test_jobs_resume_from_checkpoints_in_the_folder(folder: RunFolder) -> None:
    folder.checkpoint(JOBS[1]).parent.mkdir(parents=True)
    folder.checkpoint(JOBS[1]).write_bytes(b"at 3")
    drawn(engine(ray := Ray("a"), folder))
    assert [lot.checkpoints for lot in ray.lots] == [{}, {PLACES[1]: b"at 3"}, {}]


def test_repeated_task_is_noted(folder: RunFolder) -> None:
    ray, notes = Ray("a"), list[str]()

    def task(lot: JobGroup, board: Board) -> Any:
        for _ in range(2):
            board.begin([job.name for job in lot.jobs], "a", "host-a")
        return ray.draw(lot, board)

    ray.task = task
    drawn(engine(ray, folder, note=notes.append))
    assert notes[0] == f"{JOBS[0].name} lost its worker and continues on host-a"


def test_group_that_lost_its_worker_runs_one_by_one(folder: RunFolder) -> None:
    ray = Ray("a")
    ray.task = lambda lot, board: None if len(lot.jobs) > 1 else ray.draw(lot, board)
    jobs = drawn(engine(ray, folder, width=3))
    assert [len(lot.jobs) for lot in ray.lots] == [3, 1, 1, 1]
    assert {job.state for job in jobs.values()} == {DONE}


def test_only_the_task_that_ray_gives_up_fails(folder: RunFolder) -> None:
    ray = Ray("a")

    def task(lot: JobGroup, board: Board) -> Any:
        if lot.jobs[0] == JOBS[1]:
            raise RayError("low on memory")
        return ray.draw(lot, board)

    ray.task = task
    jobs = drawn(engine(ray, folder))
    assert [jobs[job.name].state for job in JOBS] == [DONE, FAILED, DONE]
    assert jobs[JOBS[1].name].error == "its worker was lost: low on memory"


@pytest.mark.parametrize(
    ("nodes", "count", "lots"), [("a", 9, [8, 1]), ("ab", 9, [5, 4]), ("abc", 3, [1, 1, 1])]
)
def test_gpus_share_the_jobs(folder: RunFolder, nodes: str, count: int, lots: list[int]) -> None:
    ray = Ray(*nodes)
    jobs = with_names([Job(replace(BASE, seed=seed)) for seed in range(count)])
    drawn(engine(ray, folder, gpus=1), jobs)
    assert [len(lot.jobs) for lot in ray.lots] == lots


def test_exit_cancels_tasks_and_keeps_their_checkpoints(folder: RunFolder) -> None:
    ray = Ray("a", "b")
    with engine(ray, folder) as remote:
        jobs = remote(JOBS)
        next(jobs)
        jobs.close()
        ray.board.report({}, None, {PLACES[2]: b"stopped"})
    assert len(ray.cancelled) == 2
    assert folder.checkpoint(JOBS[2]).read_bytes() == b"stopped"
    assert len(ray.killed) == 1


@pytest.mark.parametrize(
    ("cause", "message"),
    [
        (RayTaskError.cause, "on host-a: cannot write: no space left"),
        (ModuleNotFoundError("No module named 'vqclip'"), "vqclip is not installed on a node"),
    ],
)
def test_task_error_ends_the_batch(folder: RunFolder, cause: Exception, message: str) -> None:
    ray = Ray("a")

    def task(lot: JobGroup, board: Board) -> Any:
        error = RayTaskError(str(cause))
        error.cause = cause
        raise error

    ray.task = task
    with pytest.raises(VqclipError, match=message):
        drawn(engine(ray, folder))


def test_batch_ends_after_a_while_without_workers(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = Ray("a")
    ray.idle = True
    monkeypatch.setattr("vqclip.batch.remote._PATIENCE", -1.0)
    with pytest.raises(VqclipError, match="none of its nodes has 1 free CPUs"):
        drawn(engine(ray, folder))
