"""Time start-up: --help, the first step and imports.

    python benchmarks/start.py [--rounds 5] [--only help "first step"]

Each command has its own process, and the commands alternate. The output is the best and median wall
and processor times; on a busy machine, processor time is more meaningful.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from statistics import median

TORCH = "import torch"
SCRIPTS = {
    "import torch": TORCH,
    "torch, torchvision": f"{TORCH}, torchvision",
    "torch, open_clip as it comes": f"{TORCH}, open_clip",
    "torch, open_clip as vqclip imports it": (
        f"{TORCH}; from vqclip.models.openclip import import_open_clip; import_open_clip()"
    ),
    "torch and a step of Adam as it comes": (
        f"{TORCH}; p = torch.zeros(1, requires_grad=True); p.grad = p.detach() + 1\n"
        "torch.optim.Adam([p]).step()"
    ),
}
DRAW = ("a red apple", "--steps", "1", "--init", "random", "--seed", "0", "--quiet")


def commands(folder: str) -> dict[str, list[str]]:
    """Return the command lines by name."""
    vqclip = [sys.executable, "-m", "vqclip"]
    drawn = [*vqclip, *DRAW, "--overwrite", "-o", f"{folder}/apple.png"]
    scripts = {name: [sys.executable, "-W", "ignore", "-c", s] for name, s in SCRIPTS.items()}
    return {"help": [*vqclip, "--help"], "first step": drawn, **scripts}


def seconds(command: list[str]) -> tuple[float, float]:
    """Return a command's wall time and processor time."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", metavar="NAME")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        lines = {k: v for k, v in commands(folder).items() if k in (args.only or commands(folder))}
        rounds = [{name: seconds(line) for name, line in lines.items()} for _ in range(args.rounds)]
    print("| command | wall, best (median) | processor, best (median) |\n|---|---|---|")
    for name in lines:
        wall, work = zip(*(times[name] for times in rounds), strict=True)
        print(
            f"| {name} | {min(wall):.2f} s ({median(wall):.2f}) "
            f"| {min(work):.2f} s ({median(work):.2f}) |"
        )


if __name__ == "__main__":
    main()
