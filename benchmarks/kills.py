"""Kill a batch at random moments, start it again, and compare it with one left in peace.

    python benchmarks/kills.py [--jobs 100] [--steps 5] [--size 32] [--seconds 4] [--seed 0]
    python benchmarks/kills.py --jobs 2 --kills 1

Every job must have exactly one picture, of the same bytes, and nothing else may lie about; the
last line says whether that is so. Ctrl-C stops it, and the batch with it.
"""

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path


def main() -> None:
    """Run both, and tell what differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, value in {"jobs": 100, "steps": 5, "size": 32, "seed": 0}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--kills", type=int, default=1_000_000, help="at the most")
    parser.add_argument("--seconds", type=float, default=4.0, help="at the most until a kill")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        compare(Path(folder), options)


def compare(folder: Path, options: argparse.Namespace) -> None:
    """Make the list twice, and compare."""
    prompts = folder / "prompts.txt"
    lines = (f"apple number {n}" + (" --gif" if n % 10 == 0 else "") for n in range(options.jobs))
    prompts.write_text("\n".join(lines))
    settings = ["--steps", str(options.steps), "--size", str(options.size), "--cutouts", "2"]
    settings += ["--init", "random", "--quiet"]
    words = [sys.executable, "-m", "vqclip", "batch", str(prompts), *settings]
    began = time.monotonic()
    subprocess.run([*words, "-o", folder / "peace"], check=True, stdout=subprocess.DEVNULL)
    print(f"in peace: {time.monotonic() - began:.0f} s")
    began = time.monotonic()
    kills = killed([*words, "-o", str(folder / "war")], options)
    print(f"killed {kills} times: {time.monotonic() - began:.0f} s")
    failures = list(verdict(folder / "peace", folder / "war", options.jobs))
    print("\n".join(failures) or "passed: every job has one picture, the bytes are the same")
    if failures:
        sys.exit(1)


def verdict(peace: Path, war: Path, count: int) -> Iterator[str]:
    """Yield what is wrong with the folder of the run that was killed."""
    expected, found = files(peace), files(war)
    jobs = [json.loads(line) for line in (war / "jobs.jsonl").read_text().splitlines()]
    pictures = [name for name in found if name.endswith(".png")]
    done = sum(job["state"] == "done" for job in jobs)
    print(f"{len(jobs)} jobs, {done} done, {len(pictures)} pictures")
    if not len(jobs) == done == len(pictures) == count:
        yield f"FAILED: {count} jobs should be done, with a picture each"
    if missing := sorted(set(expected) - set(found)):
        yield f"FAILED: missing: {missing}"
    if strange := sorted(set(found) - set(expected)):
        yield f"FAILED: left over: {strange}"
    if different := [n for n, data in expected.items() if n in found and found[n] != data]:
        yield f"FAILED: other bytes: {different}"


def killed(words: list[str], options: argparse.Namespace) -> int:
    """Run a command until it ends by itself; return how often it was killed before."""
    moments = random.Random(options.seed)
    folder = Path(words[-1])
    kills = fruitless = 0
    while True:
        before, done = stamp(folder), jobs_done(folder)
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        # Most kills are to hit the work, not the seconds in which torch is imported.
        while moments.random() > 0.002 / 2**fruitless and process.poll() is None:
            if stamp(folder) != before:
                break
            time.sleep(0.01)
        patience = moments.uniform(0, options.seconds * 2**fruitless)
        try:
            code = process.wait(None if kills == options.kills else patience)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
            # On a machine so slow that nothing is done between two kills, they come more slowly.
            fruitless = 0 if jobs_done(folder) > done else min(fruitless + 1, 8)
            continue
        if code:
            sys.exit(f"FAILED: the batch ended with {code}")
        return kills


def jobs_done(folder: Path) -> int:
    """Return how many jobs the journal has as done."""
    path = folder / "jobs.jsonl"
    return path.read_text().count('"state": "done"') if path.exists() else 0


def stamp(folder: Path) -> int:
    """Return when the jobs were last written down."""
    path = folder / "jobs.jsonl"
    return path.stat().st_mtime_ns if path.exists() else 0


def files(folder: Path) -> dict[str, bytes]:
    """Return all that lies below ``folder``; records of times are compared by name alone."""
    changing = ("jobs.jsonl", "index.html", ".lock")
    return {
        str(path.relative_to(folder)): b"" if path.name in changing else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


if __name__ == "__main__":
    main()
