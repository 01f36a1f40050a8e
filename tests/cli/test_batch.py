"""Batches: a list becomes a folder of images, even after interruptions."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image, ImageChops, ImageStat

from tests.cli.runner import refused, vqclip
from tests.conftest import leftovers, mostly_slow
from vqclip import GenerateConfig, parse_prompts
from vqclip.batch import engine, run
from vqclip.batch.folder import RunFolder
from vqclip.batch.jobs import Job
from vqclip.files.locking import locked
from vqclip.generation import parallel as together
from vqclip.media.images import load_image, read_metadata

QUICK = ("--size", "16", "--steps", "2", "--cutouts", "1", "--init", "random")
LIST = "a red apple\n{green,blue} car --steps 3\na pear --seed 7 --gif --every 1\n"


def batch(*words: str, text: str = LIST, code: int = 0) -> Any:
    Path("p.txt").write_text(text)
    return vqclip("batch", "p.txt", *QUICK, *words, code=code)


def jobs(folder: str = "p") -> dict[str, dict[str, Any]]:
    lines = Path(folder, "jobs.jsonl").read_text().splitlines()
    return {job["file"].split("/")[-1]: job for job in map(json.loads, lines)}


def pictures(folder: str = "p") -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(folder, "pictures").iterdir()}


def test_list_becomes_a_folder() -> None:
    assert "p/index.html  (4 of 4 images, 4 new)" in batch().stdout
    assert leftovers(Path("p")) == [
        ".lock",
        "contact-sheet.jpg",
        "index.html",
        "jobs.jsonl",
        "pictures/a-pear-7.gif",
        "pictures/a-pear-7.png",
        "pictures/a-red-apple-0.png",
        "pictures/blue-car-0.png",
        "pictures/green-car-0.png",
    ]
    pear = jobs()["a-pear-7.png"]
    assert pear["files"] == ["pictures/a-pear-7.png", "pictures/a-pear-7.gif"]
    assert (pear["state"], pear["seed"], pear["line"], pear["error"]) == ("done", 7, 3, None)
    assert pear["seconds"] > 0
    assert -1 <= pear["score"] <= 1
    assert [job["settings"]["steps"] for job in jobs().values()] == [2, 3, 3, 2]
    with Image.open("p/contact-sheet.jpg") as sheet:
        assert sheet.size == (2 * 168 + 8, 2 * 198 + 8)


@pytest.mark.slow
def test_bytes_do_not_depend_on_neighbours_or_order() -> None:
    batch()
    reverse = "\n".join(reversed(LIST.strip().splitlines()))
    batch("-o", "other", text=reverse)
    assert pictures() == pictures("other")
    vqclip("a pear", *QUICK, "--seed", "7", "-o", "alone.png")
    assert Path("alone.png").read_bytes() == pictures()["a-pear-7.png"]
    vqclip("again", "p/pictures/a-pear-7.png", "-o", "again.png")
    assert Path("again.png").read_bytes() == pictures()["a-pear-7.png"]


@pytest.mark.slow
def test_rerun_continues_with_an_edited_list() -> None:
    batch()
    before = {path: path.stat().st_mtime_ns for path in Path("p/pictures").iterdir()}
    result = batch(text="a red apple\n{green,blue} car --steps 1\na fox\n")
    assert "4 of 4 images, 3 new, 1 no longer" not in result.stdout
    assert "(4 of 4 images, 3 new, 3 no longer in the list)" in result.stdout
    assert all(path.stat().st_mtime_ns == at for path, at in before.items())
    states = {name: job["state"] for name, job in jobs().items()}
    assert states == {
        "a-red-apple-0.png": "done",
        "green-car-0-2.png": "done",
        "blue-car-0-2.png": "done",
        "a-fox-0.png": "done",
        "green-car-0.png": "removed",
        "blue-car-0.png": "removed",
        "a-pear-7.png": "removed",
    }
    Path("p/pictures/a-fox-0.png").unlink()
    assert (
        "(4 of 4 images, 1 new"
        in batch(text="a red apple\n{green,blue} car --steps 1\na fox\n").stdout
    )
    assert "4 of 4 images" in batch().stdout  # restored rows are already done
    assert {n: j["state"] for n, j in jobs().items()}["a-pear-7.png"] == "done"


@pytest.mark.slow
def test_rows_can_name_their_images() -> None:
    text = (
        "a --output 'My apple.v2.jpg' --gif --every 1\nmy apple.v2\n"
        "b --output {seed}-{prompt}.png --count 2\nc --output c.webp --seeds 1,2\n"
    )
    assert "6 of 6 images" in batch(text=text).stdout
    names = ["0-b.png", "1-b.png", "My apple.v2.gif", "My apple.v2.jpg", "c-1.webp", "c-2.webp"]
    assert sorted(pictures()) == [*names, "my-apple-v2-0.png"]
    assert read_metadata(Path("p/pictures/My apple.v2.jpg"))["prompt"] == "a"
    assert "(6 of 6 images)" in batch(text=text).stdout
    before = pictures()
    batch(text="a --output c-1.png\n")  # the name of another image, which is kept
    assert pictures().items() > before.items()
    assert [name for name, job in jobs().items() if job["state"] == "done"] == ["c-1-2.png"]


def test_different_images_with_one_name_are_refused() -> None:
    Path("p.txt").write_text("a -o x.png\nb -o y.png\na -o x.png\nc -o X.jpg\nd -o x.png\n")
    told = vqclip("batch", "p.txt", *QUICK, code=2).stderr
    assert told == "vqclip: error: lines 1, 4-5: different images would be named x\n"


def test_foreign_images_in_the_folder_keep_their_names() -> None:
    batch("--steps", "0", text="a fox\n")
    mine = Path("p/pictures/a-cat-0.png")
    mine.write_text("mine")
    batch("--steps", "0", text="a fox\na cat\n")
    assert mine.read_text() == "mine"
    assert {name for name, job in jobs().items()} == {"a-fox-0.png", "a-cat-0-2.png"}


ALIKE = "a red apple\n{green,blue} car\na pear --seed 7 --gif --every 1\na fox --steps 3\n"
BESIDE = ("--side-by-side", "3")


@pytest.mark.parametrize("precision", mostly_slow(["auto", "float32"], "auto"))
def test_side_by_side_images_match_up_to_rounding(precision: str) -> None:
    """The slow test uses the built-in CLIP model, whose rounding in bfloat16 can change a code."""
    own = ("--precision", precision)
    batch("-o", "alone", *own, text=ALIKE)
    assert "(5 of 5 images, 5 new)" in batch(*BESIDE, *own, text=ALIKE).stdout
    assert leftovers(Path("p")) == leftovers(Path("alone"))
    for path in Path("p/pictures").glob("*.png"):
        other = Path("alone/pictures", path.name)
        assert read_metadata(path) == read_metadata(other)
        apart = ImageChops.difference(load_image(path), load_image(other))
        assert max(ImageStat.Stat(apart.convert("RGB")).mean) < 2
    scores = [[job["score"] for job in jobs(folder).values()] for folder in ("p", "alone")]
    assert scores[0] == pytest.approx(scores[1], abs=0.01)


@pytest.mark.slow
def test_gpu_runs_side_by_side_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    real, alone, sizes = together.step, together.step_alone, set()

    def counted(runs: Sequence[Any]) -> Any:
        sizes.add(len(runs))
        return real(runs)

    def counted_alone(run: Any) -> Any:
        sizes.add(1)
        return alone(run)

    monkeypatch.setattr(together, "step", counted)
    monkeypatch.setattr(together, "step_alone", counted_alone)
    batch("-o", "alone", text=ALIKE)
    assert sizes == {1}
    monkeypatch.setattr(engine, "resolve_device", lambda name: torch.device("cuda"))
    alike = GenerateConfig(parse_prompts("a fox"))
    assert engine.usual_width(alike) is None
    assert engine.usual_width(replace(alike, precision="portable")) == 1
    batch(text=ALIKE)
    assert max(sizes) > 1
    assert leftovers(Path("p")) == leftovers(Path("alone"))


def test_side_by_side_failure_affects_one_job(monkeypatch: pytest.MonkeyPatch) -> None:
    broken(monkeypatch, "green")
    batch(*BESIDE, text=ALIKE, code=1)
    states = {name: job["state"] for name, job in jobs().items()}
    assert states.pop("green-car-0.png") == "failed"
    assert set(states.values()) == {"done"}


@pytest.mark.slow
def test_side_by_side_ctrl_c_keeps_every_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        interrupted(patch, at=2)
        batch(*BESIDE, text=ALIKE, code=130)
    assert len(list(Path("p/checkpoints").iterdir())) >= 2
    assert "(5 of 5 images, 5 new)" in vqclip("resume", "p", *BESIDE).stdout
    assert not Path("p/checkpoints").exists()


def test_unavailable_workers_are_reported_before_the_run() -> None:
    Path("p.txt").write_text(LIST)
    line = refused("batch", "p.txt", *QUICK, "--cpus", "2")
    assert "--cpus sets the cores of a --ray worker: add --ray" in line
    assert "drop --ray and --side-by-side" in refused("resume", "a.png", *BESIDE)
    batch("--ray", "127.0.0.1:9", code=2)
    assert leftovers(Path("p")) == [".lock"]


def test_seeds_and_counts_multiply() -> None:
    batch("--steps", "0", "--seeds", "1-2", text="a\nb --seed 9\nc --count 2\nd --seeds 4,6\n")
    assert sorted(jobs()) == sorted(
        f"{name}.png" for name in ["a-1", "a-2", "b-9", "c-0", "c-1", "d-4", "d-6"]
    )


@pytest.mark.slow
def test_all_errors_are_reported_with_lines_before_the_run() -> None:
    text = (
        "a --stepz 3\nfine\nb --steps many\nc --lr 0\nd --optimizer adamm\n"
        "e --init none.png\nf 'g --gif 'x\nh --augment affine(oops)\ni:1,5\n--steps 3\n"
        "j --seeds 4-1\nk --every 0\nl --vqgan none.ckpt\nm --overwrite\nn --help\n"
        "o --output sub/x.png\np --output x.bmp\nq -o con.png\nr -o 'a?.png'\n"
        "s -o .png\nt -o x.webp --webp\nu -o {what}.png\nv --image-prompt float.tif\n"
    )
    Image.new("F", (4, 4), 9.5).save("float.tif")
    Path("p.txt").write_text(text)
    told = vqclip("batch", "p.txt", *QUICK, code=2).stderr
    assert all(line.startswith("vqclip: error: line") for line in told.splitlines())
    line = " ".join(told.split())
    assert leftovers(Path()) == ["float.tif", "p.txt"]
    for part in (
        "line 1: No such option: --stepz",
        "line 3: Invalid value for '--steps'",
        "line 4: learning rate must be",
        "line 5: unknown optimizer 'adamm'",
        "line 6: no such file: none.png",
        "line 7: No closing quotation",
        "line 8:",
        "line 9: '1,5' in the prompt",
        "line 10: no prompt",
        "line 11: cannot read the seeds",
        "line 12: every must be",
        "line 13: there is no VQGAN file 'none.ckpt'",
        "line 14: No such option: --overwrite",
        "line 15: No such option: --help",
        "line 16: 'sub/x.png' names a folder",
        "line 17: cannot write 'x.bmp' as an image",
        "line 18: 'con.png' is not a file name that every file system accepts",
        "line 19: 'a?.png' is not a file name",
        "line 20: cannot write '.png' as an image",
        "line 21: x.webp would be both the image and the video",
        "line 22: cannot read the name '{what}.png'",
        "line 23: cannot read float.tif as an image: it contains floats outside 0 to 1",
    ):
        assert part in line
    assert "line 2:" not in line


def broken(patch: pytest.MonkeyPatch, word: str) -> None:
    """Make the jobs with a word in their prompt fail after the first step."""
    real = engine.rendering

    def rendering(config: Any, *rest: Any, **more: Any) -> Any:
        work = real(config, *rest, **more)
        if word in str(config.prompts):
            yield next(work)
            raise RuntimeError("the car\nbroke")
        return (yield from work)

    patch.setattr(engine, "rendering", rendering)


@pytest.mark.slow
def test_one_failure_never_stops_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        broken(patch, "car")
        result = batch(code=1)
    assert "(2 of 4 images, 2 new, 2 failed, see p/jobs.jsonl)" in result.stdout
    assert "line 2: green car: RuntimeError: the car broke" in result.stderr.replace("\n", " ")
    assert jobs()["green-car-0.png"]["error"] == "RuntimeError: the car broke"
    assert "(4 of 4 images, 2 new)" in batch().stdout


@pytest.mark.slow
def test_full_disk_stops_the_batch_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    batch("-o", "whole")
    real, calls = RunFolder.save, 0

    def save(self: RunFolder, jobs: list[Job]) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(self, jobs)

    def full(*_: Any, **more: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "save", save)
        patch.setattr(run, "write_gallery", full)
        result = batch(code=1)
    with monkeypatch.context() as patch:
        patch.setattr("vqclip.runs.render.save_image", full)
        assert "cannot write: No space left on device; free some space" in batch(code=1).stderr
    assert [job["state"] for job in jobs().values()].count("failed") == 0
    assert "no space left on device; free some space and run the command again" in result.stderr
    batch()
    assert pictures() == pictures("whole")
    assert not Path("p/checkpoints").exists()


def interrupted(patch: pytest.MonkeyPatch, at: int) -> None:
    """Raise KeyboardInterrupt after a total of ``at`` steps across all jobs."""
    from vqclip.cli import progress

    def update(self: Any, done: int, *_: Any) -> None:
        if done == at:
            raise KeyboardInterrupt

    patch.setattr(progress.Progress, "update", update)


@pytest.mark.slow
def test_ctrl_c_keeps_the_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    batch("-o", "whole")
    with monkeypatch.context() as patch:
        interrupted(patch, at=5)  # in the second job
        result = batch(code=130)
    assert "1 of 4 images are done; continue with: vqclip resume p" in result.stderr.replace(
        "\n", " "
    )
    assert [path.name for path in Path("p/checkpoints").iterdir()] == [
        "green-car-0.checkpoint.safetensors"
    ]
    assert "(4 of 4 images, 3 new)" in vqclip("resume", "p").stdout
    assert pictures() == pictures("whole")
    assert not Path("p/checkpoints").exists()


def test_folder_is_exclusive_and_must_be_a_batch() -> None:
    Path("p").mkdir()
    with locked(Path("p/.lock")):
        Path("p.txt").write_text(LIST)
        assert "is running in p" in refused("batch", "p.txt", *QUICK)
    Path("p/holiday.jpg").write_text("theirs")
    assert "contains other files (holiday.jpg)" in refused("batch", "p.txt", *QUICK)
    assert "it has no jobs.jsonl" in refused("resume", "p")
    assert "drop --steps" in refused("resume", "p", "--steps", "3")


def test_dry_run_leaves_nothing() -> None:
    Path("p.txt").write_text(LIST)
    result = vqclip("batch", "p.txt", *QUICK, "--dry-run")
    assert leftovers(Path()) == ["p.txt"]
    pear = "vqclip 'a pear' --size 16x16 --steps 2 --seed 7 --init random --cutouts 1"
    assert pear in result.stdout
    assert len(result.stdout.splitlines()) == 4
    assert "4 of 4 images to make, about " in result.stderr


def test_other_lists_and_outputs() -> None:
    Path("p.csv").write_text("prompt,steps,frames\nx,1,yes\n" + "y" * 300 + ",1,\n")
    result = vqclip("batch", "p.csv", *QUICK, "--json", "--save-codes")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert lines[0]["files"] == [
        "pictures/x-0.png",
        "pictures/x-0.npz",
        "frames/x-0/00000.png",
        "frames/x-0/00001.png",
    ]
    assert len(Path(lines[1]["file"]).name) < 80
    assert vqclip("batch", "p.csv", *QUICK, "--quiet", "-o", "q").stdout == "q/index.html\n"


@pytest.mark.slow
def test_kill_at_any_moment_gives_the_same_result() -> None:
    """Kill whole processes twice; benchmarks/kills.py does so many times."""
    batch("-o", "whole", "--steps", "9")
    words = [sys.executable, "-m", "vqclip", "batch", "p.txt", *QUICK, "--steps", "9"]
    for wait in ("p/jobs.jsonl", "p/pictures/a-red-apple-0.png"):
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while not Path(wait).exists() and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.01)
        time.sleep(0.05)
        if os.name == "nt":
            process.kill()
        else:
            process.send_signal(signal.SIGKILL)
        process.wait(60)
    Path("p/pictures/.a-red-apple-0-0123abcd.part.png").write_text("left by a killed one")
    batch("--steps", "9")
    assert pictures() == pictures("whole")
    assert leftovers(Path("p")) == leftovers(Path("whole"))


@pytest.mark.slow
def test_killed_job_resumes_from_its_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    from vqclip.runs import autosave as keeping

    batch("-o", "whole")

    class Killed(BaseException):
        pass

    def killed(job: Job, step: int, picture: Any) -> None:
        if step == 1:
            raise Killed

    folder = RunFolder(Path("p"))
    monkeypatch.setattr(keeping, "EVERY", 0)
    whole = RunFolder(Path("whole")).jobs()
    with folder.opened(), pytest.raises(Killed):
        run.BatchRun(folder, run.planned(folder, whole), print).run(engine.Local(folder, killed))
    steps: list[int] = []
    with folder.opened():
        batch_of = run.BatchRun(folder, run.planned(folder, whole), print)
        batch_of.run(engine.Local(folder, lambda job, step, picture: steps.append(step)))
    assert steps[0] == 2  # the first job, whose steps 0 and 1 are kept
    assert pictures() == pictures("whole")


@pytest.mark.parametrize(
    ("words", "row", "seeds"),
    [
        (["--seed", "4"], "a --count 2", [4, 5]),
        (["--count", "3"], "a --seed 7", [7, 8, 9]),
        (["--seeds", "1-2"], "a --seed 9", [9]),
        (["--seed", "4", "--count", "2"], "a --seeds 1,3", [1, 3]),
    ],
)
def test_row_seeds_take_precedence(words: list[str], row: str, seeds: list[int]) -> None:
    told = batch("--dry-run", "--json", *words, text=row).stdout.splitlines()
    assert [json.loads(line)["seed"] for line in told] == seeds


def test_words_after_options_are_not_prompts() -> None:
    Path("p.txt").write_text("a --steps 2 on a table\nb --gif c\n")
    told = vqclip("batch", "p.txt", *QUICK, code=2).stderr
    assert "line 1: 'on a table' after the options does not belong to any of them" in told
    assert "line 2: 'c' after the options" in told


def test_equal_errors_are_reported_once_with_lines() -> None:
    Path("p.csv").write_text("prompt,stepz\n" + "a,3\n" * 30 + "b,\n")
    assert refused("batch", "p.csv", *QUICK).startswith(
        "vqclip: error: lines 2-31: No such option: --stepz"
    )
    Path("p.txt").write_text("a\nb --count 1000000000\n")
    assert "count must be at most" in refused("batch", "p.txt", *QUICK)


def test_row_turns_off_a_shared_option() -> None:
    Path("p.csv").write_text("prompt,gif\na,no\nb,\n")
    vqclip("batch", "p.csv", *QUICK, "--steps", "0", "--gif")
    assert sorted(pictures()) == ["a-0.png", "b-0.gif", "b-0.png"]


@pytest.mark.slow
def test_foreign_files_in_the_folder_are_left_alone() -> None:
    Path("p/pictures").mkdir(parents=True)
    mine = Path("p/pictures/a-red-apple-0.png")
    mine.write_text("mine")
    Path("p.txt").write_text(LIST)
    assert "p contains other files (pictures)" in refused("batch", "p.txt", *QUICK)
    assert mine.read_text() == "mine"
    mine.unlink()
    Path("p/.notes.part1.md").write_text("mine")
    batch()
    assert Path("p/.notes.part1.md").read_text() == "mine"


def test_rare_line_separators_do_not_break_the_journal() -> None:
    text = "a\u2028b\na\x85c\n"
    batch("--steps", "0", text=text)
    assert "2 of 2 images" in batch("--steps", "0", text=text).stdout


@pytest.mark.slow
def test_restored_row_resumes(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        interrupted(patch, at=2)
        batch("--steps", "5", text="a\nb\n", code=130)
    batch("--steps", "5", text="b\n")
    (kept,) = Path("p/checkpoints").iterdir()
    assert kept.name.startswith("a-0")
    batch("--steps", "5", text="a\nb\n")
    assert not Path("p/checkpoints").exists()
    assert len(pictures()) == 2


@pytest.mark.parametrize("name", mostly_slow(["a-0.png", "a-0.gif"], "a-0.gif"))
def test_empty_and_missing_files_are_regenerated(name: str) -> None:
    batch("--gif", text="a\n")
    before = pictures()
    Path("p/pictures", name).write_bytes(b"")
    assert "1 new" in batch("--gif", text="a\n").stdout
    assert pictures() == before


def test_dry_run_reports_failing_rows() -> None:
    told = batch("--dry-run", text="b --lr 1e300\na\n", code=1)
    assert "note: line 1: b: " in told.stderr
    assert "2 of 2 images to make" in told.stderr


def test_missing_list_is_reported() -> None:
    assert "Missing argument" in refused("batch")
    assert "Missing argument" in refused("resume")


def test_log_has_one_line_per_image() -> None:
    told = batch("--steps", "0", text="a\nb\n").stderr.splitlines()
    assert [line.split("  (")[0] for line in told] == [
        "1/2 pictures/a-0.png",
        "2/2 pictures/b-0.png",
    ]


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_scheduler_stop_is_like_ctrl_c() -> None:
    Path("p.txt").write_text("a\n")
    words = [sys.executable, "-m", "vqclip", "batch", "p.txt", *QUICK, "--steps", "100000"]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not list(Path().glob("p/checkpoints/*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.terminate()
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "continue with: vqclip resume p" in told


def test_resume_reports_missing_images(monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (16, 16), "red").save("mine.png")
    with monkeypatch.context() as patch:
        interrupted(patch, at=1)
        batch(text="a --init mine.png\n", code=130)
    Path("mine.png").rename("other.png")
    line = refused("resume", "p")
    assert "line 1: no such file: mine.png" in line
    assert "(current folder: " in line
    Path("other.png").rename("mine.png")
    assert "1 of 1 images" in vqclip("resume", "p").stdout
