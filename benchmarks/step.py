"""Time one step of the optimisation, part by part, and its peak memory.

    python benchmarks/step.py [--models embedded published] [--compare] [--repeats 5]

``embedded`` are the models that vqclip brings along, at their own size; ``published`` is
f16-16384 at 256x256 with open_clip's ViT-B-32, with random weights, on which the time does not
depend. With --compare the published sizes also run as the plain float32 implementation of
plain.py (needs kornia: pip install 'vqclip[bench]'). Every contender has a process of its own, so
that its memory is its own too; they take turns step by step, so that a busy machine slows all of
them, and medians count. Where other programs keep the machine busy all the time, two threads
mostly wait for each other: --threads 1 --cpu-time then still tells how much work there is.
"""

import argparse
import multiprocessing
import platform
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from importlib.util import find_spec
from multiprocessing.connection import Connection
from operator import truediv
from pathlib import Path
from statistics import median
from typing import Any

import torch

from vqclip.config import GenerateConfig
from vqclip.config.presets import PRESETS
from vqclip.config.prompts import Prompt
from vqclip.generation.loop import Models, Run, load_models
from vqclip.models.perceptor import Perceptor
from vqclip.models.runtime import accelerate, resolve_device, resolve_precision
from vqclip.models.vqgan import VQModel

Times = dict[str, float]
Step = Callable[[], Times]

PARTS = ("quantize+decode", "cutouts", "perceptor", "backward", "optimizer")
PROMPTS = (Prompt("a red apple"),)
F16 = {
    "double_z": False,
    "z_channels": 256,
    "resolution": 256,
    "in_channels": 3,
    "out_ch": 3,
    "ch": 128,
    "ch_mult": [1, 1, 2, 2, 4],
    "num_res_blocks": 2,
    "attn_resolutions": [16],
}


def embedded(settings: argparse.Namespace) -> Step:
    config = GenerateConfig(
        PROMPTS, num_cutouts=settings.cutouts, device=settings.device, precision=settings.precision
    )
    return stepper(config, load_models(config))


def published(settings: argparse.Namespace) -> Step:
    """The method and augmentations are those of the plain implementation."""
    preset = PRESETS["nerdyrodent"]
    config = GenerateConfig(
        PROMPTS,
        size=(256, 256),
        num_cutouts=settings.cutouts,
        cut_method=str(preset["cut_method"]),
        augment=preset["augment"],  # type: ignore[arg-type]
        device=settings.device,
        precision=settings.precision,
    )
    device = resolve_device(config.device)
    dtype = resolve_precision(config.precision, device)
    clip, tokenizer = vit_b_32()
    perceptor = Perceptor(clip, tokenizer, "ViT-B-32", Path()).to(device)
    vqgan = accelerate(f16_16384().to(device), device, dtype)
    perceptors = (accelerate(perceptor, device, dtype),)
    return stepper(config, Models(vqgan, perceptors, device, dtype))


def plain(settings: argparse.Namespace) -> Step:
    from plain import PlainStep

    step = PlainStep(f16_16384(), vit_b_32()[0].visual, 16, settings.cutouts)

    def run() -> Times:
        stopwatch = Stopwatch("cpu")
        image = stopwatch.time("quantize+decode", step.decode)
        cutouts = stopwatch.time("cutouts", step.cutouts, image)
        loss = stopwatch.time("perceptor", step.loss, cutouts)
        stopwatch.time("backward", loss.backward)
        stopwatch.time("optimizer", step.update)
        return stopwatch.times

    return run


CONTENDERS = {"embedded": embedded, "published": published, "plain": plain}


def f16_16384() -> VQModel:
    torch.manual_seed(0)
    return VQModel(F16, 16384, 256).eval().requires_grad_(False)


def vit_b_32() -> tuple[Any, Any]:
    import open_clip

    return open_clip.create_model("ViT-B-32"), open_clip.get_tokenizer("ViT-B-32")


class Stopwatch:
    """Adds up the seconds that functions take, by name."""

    clock = staticmethod(time.perf_counter)

    def __init__(self, device: str) -> None:
        self.device, self.times = device, dict.fromkeys(PARTS, 0.0)

    def time(self, name: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self._wait()
        start = self.clock()
        result = function(*args, **kwargs)
        self._wait()
        self.times[name] += self.clock() - start
        return result

    def watch(self, name: str, owner: Any, method: str) -> None:
        """Time every call of a method of ``owner``."""
        function = getattr(owner, method)
        setattr(owner, method, lambda *args, **kwargs: self.time(name, function, *args, **kwargs))

    def _wait(self) -> None:
        if self.device.startswith("cuda"):
            torch.cuda.synchronize(self.device)


def stepper(config: GenerateConfig, models: Models) -> Step:
    """Return the real loop's step, whose backward passes are all that is not one of its parts."""
    run = Run(replace(config, steps=1_000_000), models)
    stopwatch = Stopwatch(str(models.device))
    stopwatch.watch("quantize+decode", run, "decode")
    stopwatch.watch("cutouts", run.cutouts, "plan")
    stopwatch.watch("cutouts", run.cutouts, "apply")
    for perceptor in models.perceptors:
        stopwatch.watch("perceptor", perceptor, "embed_image")
    stopwatch.watch("optimizer", run, "_update")

    def step() -> Times:
        stopwatch.times = {**dict.fromkeys(PARTS, 0.0), "total": 0.0}
        stopwatch.time("total", run.step)
        total = stopwatch.times.pop("total")
        stopwatch.times["backward"] = total - sum(stopwatch.times.values())
        return stopwatch.times

    return step


class Contender:
    """A process that steps when told to."""

    def __init__(self, name: str, settings: argparse.Namespace) -> None:
        self.name = name
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=serve, args=(other, name, settings), daemon=True)
        self.process.start()
        other.close()

    def step(self) -> Times:
        self.pipe.send("step")
        times: Times = self.pipe.recv()
        return times

    def peak(self) -> float:
        """End the process; return the most memory that it had, in GiB."""
        self.pipe.send("end")
        peak: float = self.pipe.recv()
        self.process.join()
        return peak


def serve(pipe: Connection, name: str, settings: argparse.Namespace) -> None:
    torch.set_num_threads(settings.threads)
    if settings.cpu_time:
        Stopwatch.clock = staticmethod(time.process_time)
    step = CONTENDERS[name](settings)
    while pipe.recv() == "step":
        pipe.send(step())
    pipe.send(peak_memory(settings.device))


def peak_memory(device: str) -> float:
    """Most memory that this process had so far, on the GPU if it used one, in GiB."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device) / 2**30
    with suppress(ImportError):  # not on Windows
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / 2 ** (30 if sys.platform == "darwin" else 20)
    return float("nan")


def report(contender: Contender, times: list[Times], peak: float) -> tuple[float, float]:
    """Print what a contender took; return the median and the best of its whole steps."""
    totals = [sum(step.values()) for step in times]
    print(f"\n{contender.name}: {median(totals):.2f} s a step (best {min(totals):.2f} s), ", end="")
    print(f"peak memory {peak:.2f} GiB")
    for part in PARTS:
        seconds = [step[part] for step in times]
        print(f"  {part:16} {median(seconds):8.3f} s (best {min(seconds):.3f} s)")
    return median(totals), min(totals)


def describe(settings: argparse.Namespace) -> None:
    device = resolve_device(settings.device)
    precision = str(resolve_precision(settings.precision, device)).removeprefix("torch.")
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        models = {line.split(": ")[1] for line in lines if line.startswith("model name")}
        print(*models, sep=", ", end="; ")
    print(f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}", end="; ")
    print(f"{settings.threads} threads, torch {torch.__version__}, {device}, {precision}")
    unit = "processor time, " if settings.cpu_time else ""
    print(f"{unit}{settings.cutouts} cutouts, median of {settings.repeats} steps")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    models = ("embedded", "published")
    parser.add_argument("--models", nargs="+", choices=models, default=models)
    parser.add_argument("--compare", action="store_true", help="with the plain implementation")
    parser.add_argument("--cutouts", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument(
        "--cpu-time", action="store_true", help="count processor seconds, with --threads 1"
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="auto")
    settings = parser.parse_args()
    names = list(settings.models)
    if settings.compare and find_spec("kornia") is None:
        print("no comparison without kornia: pip install 'vqclip[bench]'")
    elif settings.compare:
        names += [name for name in ("published", "plain") if name not in names]
    describe(settings)
    totals = race(names, settings)
    if "plain" in totals:
        by_median, by_best = map(truediv, totals["published"], totals["plain"])
        print(f"\npublished / plain: {by_median:.2f} by medians, {by_best:.2f} by best steps")


def race(names: list[str], settings: argparse.Namespace) -> dict[str, tuple[float, float]]:
    """Let the contenders take turns; return the median and best step of each, in seconds."""
    contenders = [Contender(name, settings) for name in names]
    for contender in contenders:  # the first step warms up
        contender.step()
    rounds = [[c.step() for c in contenders] for _ in range(settings.repeats)]
    columns = zip(contenders, zip(*rounds, strict=True), strict=True)
    return {c.name: report(c, list(times), c.peak()) for c, times in columns}


if __name__ == "__main__":
    main()
