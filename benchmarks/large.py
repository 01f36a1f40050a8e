"""Measure the peak memory and time of steps on large images, with f16-16384 and ViT-B-32 on a CPU.

    python benchmarks/large.py [--sides 512 1024] [--precision auto] [--cutouts 32] [--limit 6]

Each size runs in its own process, whose peak resident memory is measured. The exit status is 1 if a
peak is above --limit GiB. The peak is read from /proc, so this needs Linux.
"""

import argparse
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import torch
from common import describe
from published import published_models

import vqclip


def peak() -> float:
    """Return this process's peak memory in GiB."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 2**20


def measure(side: int, args: argparse.Namespace) -> None:
    """Run the steps; print the memory of the loaded models, the peak, and the best step."""
    models = published_models("cpu", args.precision, small=args.small)
    loaded = peak()
    config = vqclip.GenerateConfig(
        vqclip.parse_prompts("a red apple"),
        size=(side, side),
        steps=args.steps,
        num_cutouts=args.cutouts,
        cut_chunk=args.cut_chunk,
        init="random",
        device="cpu",
        precision=args.precision,
    )
    times = [time.process_time()]
    for _ in vqclip.generate(config, models):
        times.append(time.process_time())
    best = min(after - before for before, after in pairwise(times[:-1]))
    print(f"{loaded:.2f} {peak():.2f} {best:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sides", type=int, nargs="+", default=[512, 1024])
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--cutouts", type=int, default=32)
    parser.add_argument("--cut-chunk", type=int)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--limit", type=float, default=6.0, help="peak memory limit in GiB")
    parser.add_argument("--small", action="store_true", help="narrow models")
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        measure(args.measure, args)
        return
    print(describe("cpu", args.precision, torch.get_num_threads()))
    print("| size | models loaded | peak | processor time per step |\n|---|---|---|---|")
    above = False
    for side in args.sides:
        command = [sys.executable, *sys.argv, "--measure", str(side)]
        out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        loaded, most, best = out.split()
        print(f"| {side}x{side} | {loaded} GiB | {most} GiB | {best} s |", flush=True)
        above |= float(most) > args.limit
    sys.exit(above)


if __name__ == "__main__":
    main()
