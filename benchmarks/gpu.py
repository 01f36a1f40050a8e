"""Measure vqclip on a GPU in one command: steps, memory, batches, training, and GPU tests.

    python benchmarks/gpu.py                       # 15 minutes at most; gpu.json and a table
    python benchmarks/gpu.py --device cpu --small  # the same code in half a minute

Steps: f16-16384 and ViT-B-32 with random weights, 32 cutouts, at 256, 512 and 1024 pixels, in
vqclip's precisions and with the plain float32 implementation in plain.py (needs kornia). Batches:
64 prompts one by one and side by side. Training: steps of each recipe on random images.
Measurements that do not fit in memory are reported as such. Sections that would start after
--minutes are skipped.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from common import describe
from PIL import Image
from published import f16_16384, published_models, vit_b_32
from side_by_side import draw

import vqclip
from vqclip.config.presets import PRESETS
from vqclip.hub.loaders import Models
from vqclip.models.runtime import resolve_device, resolve_precision, settle
from vqclip.training.run import train
from vqclip.training.settings import read_training_settings
from vqclip.training.transformer.encoding import DatasetEncoder

ROOT = Path(__file__).parent.parent
OUT_OF_MEMORY = "out of memory"


@dataclass(frozen=True)
class Row:
    """One result: seconds, or the reason they are missing; ``memory`` in GiB on a GPU."""

    section: str
    name: str
    seconds: float | str
    memory: float | None = None

    def __str__(self) -> str:
        shown = self.seconds if isinstance(self.seconds, str) else f"{self.seconds:.4f} s"
        memory = "" if self.memory is None else f"{self.memory:.2f} GiB"
        return f"| {self.section} | {self.name} | {shown} | {memory} |"


def timed(step: Callable[[], Any], device: torch.device, count: int) -> tuple[Any, float | None]:
    """Return a step's median time in seconds, after two warm-ups, and the peak memory in GiB."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    times = []
    try:
        for _ in range(count + 2):
            began = time.perf_counter()
            step()
            settle(device)
            times.append(time.perf_counter() - began)
    except torch.OutOfMemoryError:
        return OUT_OF_MEMORY, None
    peak = torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else None
    return median(times[2:]), peak


def config_of(side: int, cutouts: int, **options: Any) -> vqclip.GenerateConfig:
    preset = PRESETS["nerdyrodent"]
    method, augment = str(preset["cut_method"]), preset["augment"]
    return vqclip.GenerateConfig(
        vqclip.parse_prompts("a red apple"),
        size=(side, side),
        num_cutouts=cutouts,
        cut_method=method,
        augment=augment,  # type: ignore[arg-type]
        init="random",
        **options,
    )


def steps(args: argparse.Namespace, device: torch.device) -> Iterator[Row]:
    """Time single steps in every precision at every size."""
    ways: dict[str, Callable[[int], Callable[[], Any]]] = {}
    for precision in args.precisions:
        models = published_models(args.device, precision, small=args.small)

        def generated(side: int, models: Models = models, name: str = precision) -> Any:
            config = config_of(side, args.cutouts, steps=10**6, device=args.device, precision=name)
            frames = vqclip.generate(config, models)
            return lambda: next(frames)

        ways[precision] = generated
    if find_spec("kornia"):
        ways["plain float32"] = lambda side: plain(side, args, device)
    for side in args.sides:
        for name, way in ways.items():
            yield Row("step", f"{name}, {side}x{side}", *timed(way(side), device, args.repeats))


def plain(side: int, args: argparse.Namespace, device: torch.device) -> Callable[[], None]:
    from plain import PlainStep

    vqgan, clip = f16_16384(small=args.small).to(device), vit_b_32(small=args.small).to(device)
    step = PlainStep(vqgan, clip.visual, side // 16, args.cutouts)

    def run() -> None:
        step.loss(step.cutouts(step.decode())).backward()
        step.update()

    return run


def batches(args: argparse.Namespace, device: torch.device) -> Iterator[Row]:
    """Time prompts one by one and side by side, with the built-in models."""
    config = config_of(args.sides[0], args.cutouts, steps=args.steps, device=args.device)
    models = published_models(args.device, "auto", small=args.small)
    draw(config, models, 1, 1)
    for width in args.widths:
        seconds, fitted = draw(config, models, args.jobs, width)
        yield Row("batch", f"{args.jobs} jobs, {fitted} at a time", seconds / args.jobs)


def training(args: argparse.Namespace, device: torch.device) -> Iterator[Row]:
    """Time the steps of each recipe on random images."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        numbers = np.random.default_rng(0)
        for number in range(64):
            pixels = numbers.integers(0, 256, (128, 128, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"image {number}.png")
            (folder / f"image {number}.txt").write_text(f"image {number}")
        for stage in ("vqgan", "clip", "transformer"):
            yield Row("training", f"a step of {stage}", training_step(stage, folder, args, device))


def training_step(
    stage: str, folder: Path, args: argparse.Namespace, device: torch.device
) -> float | str:
    """Return the median duration of a recipe's training step in seconds, or why there is none."""
    data: dict[str, Any] = {"sources": [{"path": str(folder)}], "hold_out": {"share": 0.25}}
    data |= {"size": 128}
    recipe = ROOT / "recipes" / f"{stage}.yaml"
    if styles := read_training_settings(stage, recipe).data.get("styles"):  # as in the model
        data["styles"] = {name: {"group": name} for name in styles}
    if stage == "transformer":
        data["encode"] = {"folder": str(folder / "codes"), "samples": args.samples, "held_out": 4}
    options = {"steps": args.repeats + 2, "validate_samples": 2, "sample_every": 0, "warmup": 1}
    options |= {"validate_every": 10**6, "checkpoint_every": 10**6}
    if args.small:  # a processor may emulate the precision of a recipe
        options |= {"batch_size": args.batch, "precision": "auto"}
    changes = [
        "start=null",
        f"data={json.dumps(data)}",
        *(f"train.{k}={v}" for k, v in options.items()),
    ]
    settings = read_training_settings(stage, recipe, changes)
    try:
        if stage == "transformer":
            list(DatasetEncoder(settings, device).run())
        times = [time.perf_counter()]
        for _ in train(settings, folder / stage):
            settle(device)
            times.append(time.perf_counter())
    except torch.OutOfMemoryError:
        return OUT_OF_MEMORY
    return median(after - before for before, after in pairwise(times[2:]))


def tests(args: argparse.Namespace, device: torch.device) -> Iterator[Row]:
    """Run the tests that need a GPU; the result is the last line of their output."""
    if device.type != "cuda":
        return
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-m", "gpu", str(ROOT / "tests")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    yield Row("tests", "marked gpu", (result.stdout.strip().splitlines() or ["no output"])[-1])


SECTIONS = {"steps": steps, "batches": batches, "training": training, "tests": tests}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="narrow models and few steps")
    parser.add_argument("--only", choices=SECTIONS, action="append")
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--out", type=Path, default=Path("gpu.json"))
    args = parser.parse_args()
    full = {"sides": (256, 512, 1024), "widths": (1, 8, 64), "jobs": 64, "steps": 20}
    full |= {"cutouts": 32, "repeats": 10, "precisions": ("float32", "bfloat16"), "batch": None}
    full |= {"samples": 64}
    small = {"sides": (64,), "widths": (1, 2), "jobs": 2, "steps": 1, "cutouts": 2, "repeats": 1}
    small |= {"precisions": ("float32",), "batch": 2, "samples": 8}  # bfloat16 may be emulated
    vars(args).update(full | (small if args.small else {}))
    device = resolve_device(args.device)
    resolve_precision("auto", device)
    machine = describe(args.device, "auto", torch.get_num_threads())
    print(f"{machine}\n\n| section | what | time | memory |\n|---|---|---|---|", flush=True)
    rows, began = [], time.monotonic()
    for name in args.only or SECTIONS:
        if time.monotonic() - began > 60 * args.minutes:
            print(f"no time left for {name}")
            continue
        for row in SECTIONS[name](args, device):
            print(row, flush=True)
            rows.append(vars(row))
    args.out.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
