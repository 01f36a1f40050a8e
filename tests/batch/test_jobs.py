"""Jobs and their journal, with changed lists and damaged folders."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from vqclip import GenerateConfig, parse_prompts
from vqclip.batch.folder import RunFolder
from vqclip.batch.jobs import DONE, FAILED, REMOVED, WAITING, Job, JobFiles, merged, unique
from vqclip.errors import UsageError, VqclipError


def job(prompt: str, seed: int = 0, **settings: object) -> Job:
    config = GenerateConfig(parse_prompts(prompt), seed=seed, init="random")
    return replace(Job(config), **settings)  # type: ignore[arg-type]


def test_equal_settings_are_the_same_job() -> None:
    jobs = [job("a"), job("b"), job("a", line=3), job("a", 1), job("a", wanted=JobFiles((".gif",)))]
    first, again = unique(jobs)
    assert first == [jobs[0], jobs[1], jobs[3], jobs[4]]
    assert again == [jobs[2]]


def test_names_are_readable_safe_and_unique() -> None:
    jobs = merged([], [job("A red/apple?"), job("a: red apple"), job("x" * 500), job("..\\con")])
    assert [j.name for j in jobs] == ["a-red-apple-0", "a-red-apple-0-2", "x" * 60 + "-0", "con-0"]
    assert merged(jobs, [job("a red apple"), job("A red/apple?")])[0].name == "a-red-apple-0-3"


def test_edited_list_keeps_known_jobs() -> None:
    before = [
        job("a", name="a-0", state=DONE, files=("pictures/a-0.png",)),
        job("b", name="b-0", state="running"),
        job("c", name="c-0", state=FAILED, error="e"),
        job("d", name="d-0", state=REMOVED, files=("pictures/d-0.png",)),
        job("e", name="e-0", state=REMOVED),
    ]
    after = merged(before, [job("d", line=9), job("b"), job("new"), job("e")])
    assert [(j.name, j.state) for j in after] == [
        ("d-0", DONE),
        ("b-0", WAITING),
        ("new-0", WAITING),
        ("e-0", WAITING),
        ("a-0", REMOVED),
        ("c-0", REMOVED),
    ]
    assert after[0].line == 9


def test_journal_round_trip(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    wanted = JobFiles((".gif",), frames=True, fps=2.5)
    jobs = [job('a "b" | c:-0.5', 2**63 - 1, wanted=wanted, name="ä-0", score=0.5, files=("x",))]
    with folder.opened():
        folder.save(jobs)
        assert folder.jobs() == jobs
        assert folder.jobs()[0].key == jobs[0].key
    (line,) = (tmp_path / "run" / "jobs.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["wanted"]["films"] == [".gif"]  # as in earlier versions
    (tmp_path / "run" / "jobs.jsonl").write_text('{"state": "done"}\n')
    with pytest.raises(VqclipError, match=r"cannot read .*jobs\.jsonl"):
        folder.jobs()


def test_only_temporary_files_are_removed(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    with folder.opened():
        folder.save([])
    kept = tmp_path / "run" / "pictures" / "mine.part.png"
    gone = tmp_path / "run" / "frames" / "a" / ".00001-abc_d123.part.png"
    gone.parent.mkdir(parents=True)
    for path in (kept, gone):
        path.write_text("x")
    with folder.opened():
        assert (kept.exists(), gone.exists()) == (True, False)


def test_file_instead_of_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("x")
    with pytest.raises(UsageError, match="is a file"), RunFolder(tmp_path / "run").opened():
        pass
