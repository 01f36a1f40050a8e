"""Kill batches and stories at random moments, restart them, and compare with undisturbed runs.

    python benchmarks/kills.py --kills 1000 --fork
    python benchmarks/kills.py --kills 20 --kinds story

A round repeats one command until it finishes. Then every job must have one image, and every story
its videos and frames, all byte-identical to those of undisturbed runs, and there must be no other
files. The last line of the output shows the counts.
"""

import argparse
import json
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from itertools import cycle
from pathlib import Path

CHANGING = ("jobs.jsonl", "index.html", ".lock")  # compared only by name: they contain times
STORY = ("story", "a fox ^ a moon", "--every", "1", "--zoom", "1.1", "--gif", "--webp")
KINDS = ("batch", "story", "frames")


def main() -> None:
    """Run the rounds, and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, value in {"kills": 20, "jobs": 8, "steps": 3, "size": 32, "seed": 0}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument(
        "--fork", action="store_true", help="load libraries first, so that kills hit the work"
    )
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as folder:
        counts = rounds(Path(folder), parser.parse_args())
    print(", ".join(f"{counts[kind]} {kind}" for kind in ("lost", "left over", "differing")))
    sys.exit(bool(counts))


def rounds(folder: Path, options: argparse.Namespace) -> Counter[str]:
    """Return how many files were lost, left over or different after all the kills."""
    options.log = folder / "log"  # of the last process
    if options.fork:
        load_libraries(folder, options)
    undisturbed, moments, kills = {}, random.Random(options.seed), Counter[str]()
    for kind in options.kinds:
        began = time.monotonic()
        code = started(command(kind, folder / "peace", options), options).wait()
        undisturbed[kind] = time.monotonic() - began
        assert code == 0, options.log.read_text()
        print(f"{kind}, undisturbed: {undisturbed[kind]:.1f} s", flush=True)
    found, done = Counter[str](), Counter[str]()
    for kind in cycle(options.kinds):
        if kills.total() >= options.kills:
            break
        shutil.rmtree(folder / "war", ignore_errors=True)
        kills[kind] += killed(kind, folder, undisturbed[kind], moments, options)
        done[kind] += 1
        found += differences(folder / "peace" / kind, folder / "war" / kind)
        if done.total() % 9 == 0:
            print(f"{dict(kills)} kills in {dict(done)} rounds", flush=True)
    print(f"{dict(kills)} kills in {dict(done)} rounds")
    return found


def command(kind: str, folder: Path, options: argparse.Namespace) -> list[str]:
    """Return the command for a batch, a story, or a looping story that keeps its frames."""
    output = folder / kind
    settings = ["--size", str(options.size), "--cutouts", "2", "--init", "random", "--quiet"]
    steps = str(options.steps)
    if kind == "batch":
        prompts = folder.parent / "prompts.txt"
        videos = (" --gif" if n % 4 == 0 else "" for n in range(options.jobs))
        prompts.write_text("\n".join(f"apple {n}{video}" for n, video in enumerate(videos)))
        return ["batch", str(prompts), "--steps", steps, *settings, "-o", str(output)]
    output.mkdir(parents=True, exist_ok=True)
    loop = ["--loop", "--frames", str(output / "frames")] if kind == "frames" else []
    seed = ["--steps-per-scene", steps, "--seed", "7"]
    return [*STORY, *loop, *seed, *settings, "-o", str(output / "fox.mp4")]


class started:  # noqa: N801
    """A running vqclip process."""

    def __init__(self, words: list[str], options: argparse.Namespace) -> None:
        context = multiprocessing.get_context("fork" if options.fork else "spawn")
        self.process = context.Process(target=run, args=(words, options.log))
        self.process.start()

    def wait(self, seconds: float | None = None) -> int | None:
        """Return the exit status, or None after ``seconds`` seconds."""
        self.process.join(seconds)
        return self.process.exitcode

    def kill(self) -> None:
        """Kill the process without a chance to clean up."""
        self.process.kill()
        self.process.join()


def run(words: list[str], log: Path) -> None:
    """Act as vqclip, but save the state at every step, because these runs take only seconds."""
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, 1)
    os.dup2(file, 2)
    from vqclip.cli.app import main
    from vqclip.runs import autosave
    from vqclip.video import work_folder

    autosave.EVERY = work_folder.EVERY = 0
    sys.argv = ["vqclip", *words]
    main()


def load_libraries(folder: Path, options: argparse.Namespace) -> None:
    """Run every kind once in this process, so that child processes do not import anything."""
    from vqclip.cli.app import app

    for kind in options.kinds:
        with suppress(SystemExit):
            app(command(kind, folder / "warm", options))


def killed(
    kind: str, folder: Path, seconds: float, moments: random.Random, options: argparse.Namespace
) -> int:
    """Repeat a command until it finishes; return how many times it was killed.

    seconds: the command's duration without kills; on average, it is killed after a third of this.
    """
    words = command(kind, folder / "war", options)
    kills = 0
    while kind == "batch" or not is_over(folder / "war" / kind, folder / "peace" / kind):
        process = started(words, options)
        code = process.wait(moments.expovariate(3 / seconds))
        if code is None:
            process.kill()
            kills, seconds = kills + 1, 1.05 * seconds  # the machine may have become slower
        elif code:
            sys.exit(f"FAILED: {words} ended with {code}: {options.log.read_text()}")
        else:
            break
    return kills


def is_over(story: Path, whole: Path) -> bool:
    """Return whether a story was killed when complete: its command would refuse to replace it."""
    videos = [story / path.name for path in whole.glob("fox.*")]
    return all(video.is_file() for video in videos) and not list(story.glob("*/about.json"))


def differences(peace: Path, war: Path) -> Counter[str]:
    """Count and print the files or jobs that are lost, left over or different."""
    expected, there = files(peace), files(war)
    found = {
        "lost": expected.keys() - there.keys(),
        "left over": there.keys() - expected.keys(),
        "differing": {
            name for name in expected.keys() & there.keys() if expected[name] != there[name]
        },
    }
    if (war / "jobs.jsonl").exists():
        jobs = [json.loads(line) for line in (war / "jobs.jsonl").read_text().splitlines()]
        found["lost"] |= {f"job {n}" for n, job in enumerate(jobs) if job["state"] != "done"}
    for what, names in found.items():
        if names:
            print(f"FAILED: {what}: {sorted(names)}", flush=True)
    return Counter({what: len(names) for what, names in found.items() if names})


def files(folder: Path) -> dict[str, bytes]:
    """Return all files below ``folder`` by name."""
    return {
        str(path.relative_to(folder)): b"" if path.name in CHANGING else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


if __name__ == "__main__":
    main()
