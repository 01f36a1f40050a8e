"""A worker of a cluster, without a cluster: jobs and checkpoints in, files and checkpoints out."""

import tempfile
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests import tiny
from tests.conftest import leftovers
from tests.runs.test_checkpoint import BASE
from vqclip.batch import worker as workers
from vqclip.batch.engine import Local
from vqclip.batch.folder import RunFolder
from vqclip.batch.jobs import DONE, FAILED, Job, JobFiles, with_names
from vqclip.batch.worker import News, Worker, read_files, write_files
from vqclip.hub.loaders import Models, load_models
from vqclip.runs import autosave as keeping

JOBS = with_names(
    [Job(replace(BASE, seed=seed), JobFiles(films=(".gif",), every=1)) for seed in (1, 2)]
)


@pytest.fixture(scope="module")
def models() -> Models:
    torch.manual_seed(0)
    return replace(load_models(BASE), vqgan=tiny.vqgan())


@pytest.fixture
def worker(models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Worker:
    monkeypatch.setattr(workers, "NEWS_EVERY", 0)
    monkeypatch.setattr(keeping, "EVERY", 0)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    made = Worker(torch.get_num_threads(), 1, str(tmp_path), gpu=False)
    made.load = lambda config: models  # type: ignore[assignment]
    return made


def alone(models: Models) -> dict[str, bytes]:
    folder = RunFolder(Path("alone"))
    jobs = list(Local(folder, load=lambda config: models)(JOBS))  # type: ignore[arg-type]
    return dict(read_files(folder.path, [name for job in jobs for name in job.files]))


def test_files_are_those_of_a_local_run(worker: Worker, models: Models) -> None:
    drawn = worker.draw(JOBS, {})
    assert [job.state for job, _ in drawn.jobs] == [DONE, DONE]
    assert [list(files) for _, files in drawn.jobs] == [list(job.files) for job, _ in drawn.jobs]
    write_files(Path("here"), {**drawn.jobs[0][1], **drawn.jobs[1][1]})
    assert read_files(Path("here"), list(alone(models))) == alone(models)
    assert drawn.checkpoints == {}
    assert worker.news() == News()
    assert not [name for name in leftovers(Path()) if "vqclip-" in name]


def test_a_job_goes_on_elsewhere_from_its_checkpoint(worker: Worker, models: Models) -> None:
    news: list[News] = []
    real = worker._at_step

    def at_step(job: Job, step: int, picture: object) -> None:
        real(job, step, picture)  # type: ignore[arg-type]
        if (job.name, step) == (JOBS[1].name, 2):
            thread = threading.Thread(target=lambda: news.append(worker.news(look=True)))
            thread.start()
            thread.join()

    worker._at_step = at_step  # type: ignore[method-assign]
    worker.draw(JOBS, {})
    (told,) = news
    assert told.steps[JOBS[1].key] == 2
    assert told.picture is not None
    assert told.picture.size == (16, 16)
    assert list(told.checkpoints)[-1] == f"checkpoints/{JOBS[1].name}.checkpoint.safetensors"
    steps: list[int] = []
    worker._at_step = lambda job, step, picture: steps.append(step)  # type: ignore[method-assign]
    drawn = worker.draw(JOBS[1:], told.checkpoints)
    assert steps == [3, 4]
    ((_, files),) = drawn.jobs
    assert files == {name: alone(models)[name] for name in files}


def test_told_to_stop_it_hands_in_its_checkpoint(worker: Worker) -> None:
    worker.stop()
    drawn = worker.draw(JOBS, {})
    assert drawn.jobs == []
    assert list(drawn.checkpoints) == [f"checkpoints/{JOBS[0].name}.checkpoint.safetensors"]


def test_a_job_that_fails_is_told(worker: Worker) -> None:
    broken = replace(JOBS[0], config=replace(BASE, init="none.png"))
    drawn = worker.draw([broken, JOBS[1]], {})
    assert [(job.state, len(files)) for job, files in drawn.jobs] == [(FAILED, 0), (DONE, 2)]
