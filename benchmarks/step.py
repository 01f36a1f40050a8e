"""Time one step of the optimisation, part by part, and its peak memory.

    python benchmarks/step.py [--models embedded published] [--compare] [--repeats 5]
    python benchmarks/step.py --small --repeats 1       # the same code in seconds

``embedded`` means the built-in models at their training size; ``published`` means f16-16384 at
256x256 with open_clip's ViT-B-32, with random weights, which do not affect the time. The steps are
those of ``vqclip.generate``. With --compare, the published sizes also run with the plain float32
implementation in plain.py (needs kornia: pip install 'vqclip[bench]'). Every contender has its own
process, so that memory is measured separately. The contenders take steps alternately, so that a
busy machine slows all of them down; the output shows medians. If other programs keep the machine
busy, --threads 1 --cpu-time counts work instead of waiting.
"""

import argparse
import multiprocessing
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from multiprocessing.connection import Connection
from operator import truediv
from statistics import median
from typing import Any

import torch
from common import describe
from published import f16_16384, published_models, vit_b_32
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

import vqclip
from vqclip.config.presets import PRESETS
from vqclip.generation.cutouts import Cutouts
from vqclip.hub.loaders import Models, load_models
from vqclip.models.runtime import settle

Times = dict[str, float]
Step = Callable[[], Times]

# "backward" is the rest of a step: backward passes, losses and overhead.
PARTS = ("quantize+decode", "cutouts", "perceptor", "backward", "optimizer")


def embedded(settings: argparse.Namespace) -> Step:
    config = config_of(settings, size=(32, 32) if settings.small else None)
    return stepper(config, load_models(config))


def published(settings: argparse.Namespace) -> Step:
    """Return vqclip's step with the method and augmentations of the plain implementation."""
    preset = PRESETS["nerdyrodent"]
    side = 64 if settings.small else 256
    config = config_of(
        settings, size=(side, side), cut_method=preset["cut_method"], augment=preset["augment"]
    )
    models = published_models(settings.device, settings.precision, small=settings.small)
    return stepper(config, models)


def config_of(settings: argparse.Namespace, **options: Any) -> vqclip.GenerateConfig:
    return vqclip.GenerateConfig(
        vqclip.parse_prompts("a red apple"),
        steps=1_000_000,
        init="random",
        num_cutouts=settings.cutouts,
        device=settings.device,
        precision=settings.precision,
        **options,
    )


def plain(settings: argparse.Namespace) -> Step:
    from plain import PlainStep

    side = 4 if settings.small else 16
    clip = vit_b_32(small=settings.small)
    step = PlainStep(f16_16384(small=settings.small), clip.visual, side, settings.cutouts)

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


class Stopwatch:
    """Adds up the seconds spent in functions, by name."""

    clock = staticmethod(time.perf_counter)

    def __init__(self, device: str) -> None:
        self.device, self.times = torch.device(device), dict.fromkeys(PARTS, 0.0)

    def now(self) -> float:
        settle(self.device)
        return self.clock()

    def time(self, name: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        start = self.now()
        result = function(*args, **kwargs)
        self.times[name] += self.now() - start
        return result

    def watch(self, name: str, owner: Any, method: str) -> None:
        """Time every call to a method of ``owner``, an object or class."""
        function = getattr(owner, method)
        setattr(owner, method, lambda *args, **kwargs: self.time(name, function, *args, **kwargs))

    def watch_optimizers(self) -> None:
        def begin(*_: Any) -> None:
            self.times["optimizer"] -= self.now()

        def end(*_: Any) -> None:
            self.times["optimizer"] += self.now()

        register_optimizer_step_pre_hook(begin)
        register_optimizer_step_post_hook(end)


def stepper(config: vqclip.GenerateConfig, models: Models) -> Step:
    """Return a function that takes one step of ``vqclip.generate`` and returns the step's times."""
    stopwatch = Stopwatch(str(models.device))
    for method in ("nearest", "decode"):
        stopwatch.watch("quantize+decode", models.vqgan, method)
    for method in ("plan", "apply"):
        stopwatch.watch("cutouts", Cutouts, method)
    for perceptor in models.perceptors:
        stopwatch.watch("perceptor", perceptor, "embed_image")
    stopwatch.watch_optimizers()
    frames = vqclip.generate(config, models)

    def step() -> Times:
        stopwatch.times = dict.fromkeys((*PARTS, "total"), 0.0)
        stopwatch.time("total", next, frames)
        total = stopwatch.times.pop("total")
        stopwatch.times["backward"] = total - sum(stopwatch.times.values())
        return stopwatch.times

    return step


class Contender:
    """A process that takes steps on request."""

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
        """End the process; return its peak memory in GiB."""
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
    """Return this process's peak memory so far in GiB, on the GPU if it used one."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device) / 2**30
    with suppress(ImportError):  # not on Windows
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / 2 ** (30 if sys.platform == "darwin" else 20)
    return float("nan")


def report(contender: Contender, times: list[Times], peak: float) -> tuple[float, float]:
    """Print a contender's times; return the median and the best of its whole steps."""
    totals = [sum(step.values()) for step in times]
    print(
        f"\n{contender.name}: {median(totals):.3f} s per step (best {min(totals):.3f} s), ", end=""
    )
    print(f"peak memory {peak:.2f} GiB")
    for part in PARTS:
        seconds = [step[part] for step in times]
        print(f"  {part:16} {median(seconds):8.3f} s (best {min(seconds):.3f} s)")
    return median(totals), min(totals)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    models = ("embedded", "published")
    parser.add_argument("--models", nargs="+", choices=models, default=models)
    parser.add_argument("--compare", action="store_true", help="also time the plain implementation")
    parser.add_argument("--small", action="store_true", help="narrow models, small images")
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
    print(describe(settings.device, settings.precision, settings.threads), end="; ")
    unit = "processor time, " if settings.cpu_time else ""
    print(f"{unit}{settings.cutouts} cutouts, median of {settings.repeats} steps")
    totals = race(names, settings)
    if "plain" in totals:
        by_median, by_best = map(truediv, totals["published"], totals["plain"])
        print(f"\npublished / plain: {by_median:.2f} by medians, {by_best:.2f} by best steps")


def race(names: list[str], settings: argparse.Namespace) -> dict[str, tuple[float, float]]:
    """Run the contenders alternately; return each one's median and best step in seconds."""
    contenders = [Contender(name, settings) for name in names]
    for contender in contenders:  # the first step is a warm-up
        contender.step()
    rounds = [[c.step() for c in contenders] for _ in range(settings.repeats)]
    columns = zip(contenders, zip(*rounds, strict=True), strict=True)
    return {c.name: report(c, list(times), c.peak()) for c, times in columns}


if __name__ == "__main__":
    main()
