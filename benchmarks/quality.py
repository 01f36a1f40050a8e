"""Measure whether images match their own prompt better than the other prompts.

Every prompt is used once with the given settings. Every image is then compared with every prompt in
views that the run did not use: another cut method, other augmentations, another seed. The figures
are an image's mean similarity to its own prompt and to the other prompts, and how often its own
prompt is the nearest (R-precision).

    python benchmarks/quality.py
    python benchmarks/quality.py --prompts 6 --set steps=60 --set learning_rate=0.2 --sheet s.png
"""

import argparse
import time
from dataclasses import replace

import torch
from common import montage, read_settings
from torch import Tensor

import vqclip
from vqclip.generation.cutouts import Cutouts
from vqclip.hub.loaders import Models, load_models

PROMPTS = (
    "a red apple",
    "a green tree",
    "a yellow sun",
    "a blue car",
    "a sunset over the sea",
    "a smiling yellow face",
    "a brown horse",
    "a pink flower",
    "a white snowman",
    "an orange pumpkin",
    "a purple butterfly",
    "a black cat",
    "a house with a red roof",
    "a slice of pizza",
    "a green frog",
    "a full moon at night",
    "a bowl of soup",
    "a gold crown",
    "a snowy mountain",
    "a blue fish",
)
UNSEEN = Cutouts("zoom", 32, augment=("rotation(degrees=10)", "flip"), noise=0.0)


def draw(config: vqclip.GenerateConfig, models: Models) -> tuple[Tensor, float]:
    """Return the image, (1, 3, h, w) in [0, 1], and its time in seconds."""
    started = time.perf_counter()
    *_, last = vqclip.generate(config, models)
    return last.image, time.perf_counter() - started


@torch.no_grad()
def views(image: Tensor, models: Models) -> Tensor:
    """Return the mean embedding, (1, d), of views that no run used."""
    (perceptor,) = models.perceptors
    generator = torch.Generator().manual_seed(2**40)
    plan = UNSEEN.plan((image.shape[-2], image.shape[-1]), perceptor.resolution, generator)
    return perceptor.embed_image(UNSEEN.apply(image, plan, 0, 32)).mean(0, keepdim=True)


def report(similarity: Tensor) -> str:
    """Return the figures for an (images, prompts) matrix with matching pairs on the diagonal."""
    own = similarity.diagonal()
    others = similarity[~torch.eye(len(own), dtype=torch.bool)]
    hits = (similarity.argmax(1) == torch.arange(len(own))).float().mean()
    return (
        f"own {own.mean():.3f} (least {own.min():.3f})  others {others.mean():.3f} "
        f"(std {others.std():.3f})  R-precision {hits:.0%}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=len(PROMPTS), help="at most 20")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--sheet", help="write all images to this file")
    args = parser.parse_args()
    prompts = PROMPTS[: args.prompts]
    config = vqclip.GenerateConfig(
        vqclip.parse_prompts(prompts[0]), seed=args.seed, **read_settings(args.set)
    )
    models = load_models(config)
    runs = [draw(replace(config, prompts=vqclip.parse_prompts(p)), models) for p in prompts]
    texts = models.perceptors[0].embed_text(list(prompts))
    seen = torch.cat([views(image, models) for image, _ in runs])
    frames = vqclip.generate(config, models)
    start = next(frame for frame in frames if frame.stage == "optimization").image
    print(f"{len(prompts)} prompts, {config.steps} steps, {config.num_cutouts} cutouts")
    print(f"finished: {report(seen @ texts.T)}")
    print(f"start:    own {(views(start, models) @ texts.T).mean():.3f}")
    print(f"seconds:  {sum(s for _, s in runs) / len(runs):.1f} per image")
    if args.sheet:
        montage([vqclip.to_pil(image) for image, _ in runs], 5).save(args.sheet)


if __name__ == "__main__":
    main()
