"""Time jobs run side by side: jobs per minute with one, two, four and eight at a time.

    python benchmarks/side_by_side.py [--device cuda] [--size 256] [--steps 20] [--cutouts 32]
        [--vqgan PATH] [--clip ViT-B-32/laion2b_s34b_b79k] [--widths 1 2 4 8] [--jobs 16]

After a warm-up round, the same jobs are run at each width; no files are written. If memory runs
out, the number of jobs at a time is halved until they fit, and the output shows that number. The
last line is for a batch's default on a GPU: the fastest number, measured during the run.
"""

import argparse
import time
from dataclasses import replace
from unittest.mock import patch

import torch

from vqclip import GenerateConfig, parse_prompts
from vqclip.generation.frame import watched
from vqclip.generation.parallel import MOST, Work, side_by_side
from vqclip.generation.step import begin
from vqclip.hub.loaders import Models, load_models


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--vqgan", default="default")
    parser.add_argument("--clip", default="default")
    parser.add_argument("--widths", type=int, nargs="+", default=[1, 2, 4, 8])
    for name, value in {"size": 256, "steps": 20, "cutouts": 32, "jobs": 16}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    config = GenerateConfig(
        parse_prompts("a red apple"),
        size=(options.size, options.size),
        steps=options.steps,
        num_cutouts=options.cutouts,
        init="random",
        vqgan=options.vqgan,
        clip=((options.clip, 1.0),),
        device=options.device,
        precision=options.precision,
    )
    models = load_models(config)
    print(f"{name_of(models.device)}, {models.dtype}, torch {torch.__version__}")
    draw(replace(config, steps=2), models, 1, 1)
    slowest = None
    for width in [*options.widths, None]:
        draw(replace(config, steps=2), models, width or 1, width)
        seconds, fitted = draw(config, models, options.jobs, width)
        rate = 60 * options.jobs / seconds
        slowest = slowest or rate
        number = f"{width} side by side" if width else f"what pays, {fitted} at last"
        print(f"{number}: {rate:.1f} jobs per minute, {rate / slowest:.2f} times", end="")
        print("" if width in (None, fitted) else f" ({fitted} fitted into memory)")


def draw(config: GenerateConfig, models: Models, jobs: int, width: int | None) -> tuple[float, int]:
    """Run the jobs; return the seconds, and how many jobs shared a step at the end."""
    works = (drawing(replace(config, seed=seed), models) for seed in range(jobs))
    with patch.object(models.vqgan, "decode", wraps=models.vqgan.decode) as decode:
        began = time.monotonic()
        list(side_by_side(works, width))
        seconds = time.monotonic() - began
    sizes = [len(call.args[0]) for call in decode.call_args_list]
    return seconds, max(sizes[-MOST * 2 :])  # the last image of every run is decoded alone


def drawing(config: GenerateConfig, models: Models) -> Work[float]:
    """Return the work for one job, including the final image, as in a batch."""
    run = watched(begin(config, models))
    while run.steps_done < config.steps:
        yield run
    return float(run.result().image.mean())  # waits for the GPU


def name_of(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device}, {torch.get_num_threads()} threads"


if __name__ == "__main__":
    main()
