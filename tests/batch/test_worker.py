"""Cluster tasks, run without a cluster: jobs and checkpoints in, files and checkpoints out."""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests import tiny
from tests.conftest import leftovers
from tests.runs.test_checkpoint import BASE
from vqclip.batch import worker as workers
from vqclip.batch.engine import Local
from vqclip.batch.folder import RunFolder
from vqclip.batch.jobs import DONE, FAILED, Job, JobFiles, with_names
from vqclip.batch.worker import TRIES, Board, Files, JobGroup, read_files, render_group, write_files
from vqclip.errors import VqclipError
from vqclip.hub.loaders import Models, load_models
from vqclip.runs import autosave

JOBS = tuple(
    with_names(
        [Job(replace(BASE, seed=seed), JobFiles(videos=(".gif",), every=1)) for seed in (1, 2)]
    )
)
NAMES = [job.name for job in JOBS]
PLACES = [f"checkpoints/{job.name}.checkpoint.safetensors" for job in JOBS]


class Remote:
    """An actor handle like Ray's, whose calls return at once."""

    def __init__(self, actor: Any) -> None:
        self.actor = actor

    def __getattr__(self, name: str) -> Any:
        return SimpleNamespace(remote=getattr(self.actor, name))


@pytest.fixture(scope="module")
def models() -> Models:
    torch.manual_seed(0)
    return replace(tiny.with_tiny_clip(load_models(BASE)), vqgan=tiny.vqgan())


@pytest.fixture
def board(models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Board:
    ray = pytest.importorskip("ray")
    monkeypatch.setattr(ray, "get", lambda answer: answer)
    context = SimpleNamespace(get_node_id=lambda: "a")
    monkeypatch.setattr(ray, "get_runtime_context", lambda: context)
    monkeypatch.setattr(workers, "NEWS_EVERY", 0)
    monkeypatch.setattr(workers, "_load", lambda config: models)
    monkeypatch.setattr(autosave, "EVERY", 0)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    return Board(lambda: {"a", "b"})


def drawn(board: Board, *jobs: Job, **options: Any) -> list[tuple[Job, Files]]:
    lot = JobGroup(jobs, {}, torch.get_num_threads(), 1, str(Path.cwd()), gpu=False, look=True)
    return render_group(replace(lot, **options), Remote(board)) or []


def alone(models: Models) -> dict[str, bytes]:
    folder = RunFolder(Path("alone"))
    jobs = list(Local(folder, load=lambda config: models)(JOBS))  # type: ignore[arg-type]
    return dict(read_files(folder.path, [name for job in jobs for name in job.files]))


def interrupted(board: Board, at: int, error: type[BaseException]) -> Callable[..., None]:
    """Return a report after which the task ends with an error."""
    report = board.report

    def last(steps: Any, picture: Any, files: Files) -> None:
        report(steps, picture, files)
        if at in steps.values():
            board.report = report  # type: ignore[method-assign]
            raise error

    return last


@pytest.mark.slow
def test_files_match_a_local_run(board: Board, models: Models) -> None:
    ended = drawn(board, *JOBS)
    assert [job.state for job, _ in ended] == [DONE, DONE]
    assert [list(files) for _, files in ended] == [list(job.files) for job, _ in ended]
    write_files(Path("here"), {**ended[0][1], **ended[1][1]})
    assert read_files(Path("here"), list(alone(models))) == alone(models)
    assert not [name for name in leftovers(Path()) if "vqclip-" in name]


@pytest.mark.slow
def test_repeated_task_resumes_from_the_newest_checkpoint(board: Board, models: Models) -> None:
    board.report = interrupted(board, 2, SystemExit)  # type: ignore[method-assign]
    with pytest.raises(SystemExit):
        drawn(board, JOBS[1])
    news = board.news()
    assert (news.steps, news.resumed, news.busy) == ({JOBS[1].key: 2}, [], True)
    assert news.picture is not None
    assert news.picture.size == (16, 16)
    assert list(news.checkpoints) == [PLACES[1]]
    ((_, files),) = drawn(board, JOBS[1])
    assert files == {name: alone(models)[name] for name in files}
    news = board.news()
    assert [name for name, _ in news.resumed] == [JOBS[1].name]
    assert min(news.steps.values()) > 2


def test_cancelled_task_sends_its_checkpoint(board: Board) -> None:
    board.report = interrupted(board, 1, KeyboardInterrupt)  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        drawn(board, *JOBS)
    assert list(board.news().checkpoints) == [PLACES[0]]


def test_failed_job_is_reported(board: Board) -> None:
    broken = replace(JOBS[0], config=replace(BASE, init="none.png"))
    ended = drawn(board, broken, JOBS[1])
    assert [(job.state, len(files)) for job, files in ended] == [(FAILED, 0), (DONE, 2)]


def test_jobs_that_lost_a_worker_together_run_alone(board: Board) -> None:
    board.begin(NAMES, "b", "host")
    lot = JobGroup(JOBS, {}, 1, 1, ".", gpu=False, look=False)
    assert render_group(lot, Remote(board)) is None


def test_job_that_kills_its_workers_fails(board: Board) -> None:
    for _ in range(TRIES):
        board.begin(NAMES[:1], "b", "host")
    ((job, files),) = drawn(board, JOBS[0])
    assert (job.state, files) == (FAILED, {})
    assert str(job.error).startswith(f"its worker died {TRIES} times, last on ")


def test_lost_nodes_do_not_count_against_the_job(board: Board) -> None:
    for _ in range(TRIES):
        board.begin(NAMES[:1], "gone", "host")
    assert board.begin(NAMES[:1], "a", "host")[0] == 0


def test_finished_jobs_leave_nothing_on_the_board(board: Board) -> None:
    board.begin(NAMES, "a", "host")
    board.report({}, None, dict.fromkeys(PLACES, b"x"))
    board.end(NAMES[:1])
    assert board.news().busy
    assert board.begin(NAMES, "a", "host")[1] == {PLACES[1]: b"x"}
    board.end(NAMES)
    assert not board.news().busy


def test_version_mismatch_is_reported(board: Board) -> None:
    with pytest.raises(VqclipError, match=r"started with 0\.0\.1: install the same"):
        drawn(board, JOBS[0], version="0.0.1")
