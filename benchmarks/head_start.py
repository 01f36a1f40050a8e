"""Measure how much sooner a run from a draft is as good as one from noise.

    python benchmarks/head_start.py [--prompts 8] [--steps 300] [--every 10]
    python benchmarks/head_start.py --published

Each prompt is optimised from random codes, as in other programs, and then with vqclip's defaults,
from the best of its drafts. An image's score is its CLIP similarity to the prompt, averaged over
the whole image and its corners, as for drafts; scoring is not timed. The output is the fraction of
the time after which the run from a draft reaches the other run's final score, or "never" if it does
not.

With --published, drafts are sampled by the built-in transformer and encoded for f16-16384 and
ViT-B/32 with random weights. Then only times can be measured: for all drafts, for a step from a
draft, and for a step from noise.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import median

import torch
from common import describe, read_settings
from published import published_models

import vqclip
from vqclip.evaluation.pictures import read_prompts
from vqclip.generation.drafts import draft_scores
from vqclip.generation.prompt_embeddings import embed_prompts
from vqclip.hub.loaders import Models, load_models

PROMPTS = Path(__file__).with_name("prompts100.txt")
Point = tuple[int, float, float]  # step, seconds so far, score


def course(config: vqclip.GenerateConfig, models: Models, every: int) -> Iterator[Point]:
    """Yield the step, the seconds so far and the score after every few steps."""
    prompts = embed_prompts(models, config.prompts)
    watching, began = 0.0, time.perf_counter()
    for frame in vqclip.generate(config, models):
        if frame.stage == "draft" or (frame.step % every and frame.step < frame.total):
            continue
        looked = time.perf_counter()
        score = float(draft_scores(config, models, prompts, frame.image))
        watching += time.perf_counter() - looked
        yield frame.step, time.perf_counter() - began - watching, score


def first_as_good(points: list[Point], score: float) -> Point | None:
    """Return the first point with at least this score, or None."""
    return next((point for point in points if point[2] >= score), None)


def compare(base: vqclip.GenerateConfig, args: argparse.Namespace) -> None:
    """Print a row per prompt, and the median fraction of the time."""
    models = load_models(base)
    lines = read_prompts(PROMPTS)
    shares = []
    print("| prompt | from noise | score | from a draft | score at its end | share of the time |")
    print("|---|---|---|---|---|---|")
    for text in lines[:: max(1, len(lines) // args.prompts)][: args.prompts]:
        config = replace(base, prompts=vqclip.parse_prompts(text))
        noise = replace(config, init="random", steps=args.steps)
        *_, end = course(noise, models, args.every)
        drawn = list(course(config, models, args.every))
        reached = first_as_good(drawn, end[2])
        shares.append(reached[1] / end[1] if reached else float("inf"))
        told = f"{reached[1]:.1f} s, step {reached[0]}" if reached else "never"
        row = f"| {text} | {end[1]:.1f} s | {end[2]:.3f} | {told} | {drawn[-1][2]:.3f} |"
        print(f"{row} {shares[-1]:.2f} |", flush=True)
    print(f"median share of the time: {median(shares):.2f}")


def time_published(base: vqclip.GenerateConfig, args: argparse.Namespace) -> None:
    """Print the times at the published sizes, where random weights give no meaningful score."""
    published = published_models(base.device, base.precision, small=args.small)
    models = replace(load_models(base), vqgan=published.vqgan, perceptors=published.perceptors)
    config = replace(base, size=(64, 64) if args.small else (256, 256), steps=args.timed)
    drawn = list(course(config, models, 1))
    noise = list(course(replace(config, init="random"), models, 1))
    drafts = drawn[0][1]
    draft_step, noise_step = (
        median(later[1] - earlier[1] for earlier, later in pairwise(run[1:]))
        for run in (drawn, noise)
    )
    whole = args.steps * noise_step
    print(f"drafts and their choice: {drafts:.2f} s, {drafts / whole:.3f} of {args.steps} steps")
    print(f"step from a draft: {draft_step:.2f} s; from noise: {noise_step:.2f} s")
    print(f"drafts and 10 steps: {(drafts + 10 * draft_step) / whole:.3f} of the time")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--steps", type=int, default=300, help="steps of the runs from noise")
    parser.add_argument("--every", type=int, default=10, help="steps between two measurements")
    parser.add_argument("--published", action="store_true")
    parser.add_argument("--timed", type=int, default=6, help="steps timed with --published")
    parser.add_argument("--small", action="store_true", help="small models, to try --published")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", dest="changes")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    prompts = vqclip.parse_prompts("a red apple")
    base = vqclip.GenerateConfig(prompts=prompts, seed=0, **read_settings(args.changes))
    print(describe(base.device, base.precision, args.threads))
    (time_published if args.published else compare)(base, args)


if __name__ == "__main__":
    main()
