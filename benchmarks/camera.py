"""Measure whether an image keeps its quality under a moving camera.

    python benchmarks/camera.py
    python benchmarks/camera.py "a castle" --frames 200 --zoom 1.02 --out frames

The last image of a story with a moving camera is compared with the last image of the same story
without a camera, and with the results of simpler ways to move the image. Sharpness is the standard
deviation of the Laplacian, contrast that of the pixels (-1 to 1); motion is the optical flow
between frames, relative to the requested motion.
"""

import argparse
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from itertools import pairwise
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
import torch.nn.functional as F
from common import read_settings
from PIL import Image
from torch import Tensor

import vqclip
from vqclip.config import StoryConfig
from vqclip.generation.prompt_embeddings import clip_scores, embed_prompts
from vqclip.hub.loaders import Models, load_models
from vqclip.media.images import to_tensor
from vqclip.media.writers import Array
from vqclip.models.clamping import clamp_with_grad
from vqclip.video.camera import parse_camera
from vqclip.video.optical_flow import find_flow
from vqclip.video.story import MovedImage, StoryFrames

_MOTIONS = 10  # number of final frames to average the motion over


class EncodedAgain(MovedImage):
    """Continues from the VQGAN's reconstruction of the moved image, without a residual."""

    def _hold(self, residual: Tensor | None) -> None:
        self.residual = None


class CodesAlone(MovedImage):
    """Lets CLIP see the decoded codes instead of the displayed image."""

    def _hold(self, residual: Tensor | None) -> None:
        super()._hold(residual)
        self.run.shown = lambda decoded: clamp_with_grad(decoded)  # type: ignore[method-assign]
        step_frame = self.run.frame
        self.run.frame = lambda image=None, losses=None: step_frame(None, losses)  # type: ignore[method-assign]


Way = Callable[[], AbstractContextManager[object]]
WAYS: dict[str, Way] = {
    "no camera": nullcontext,
    "encoded again": lambda: patch("vqclip.video.story.MovedImage", EncodedAgain),
    "detail not held": lambda: patch("vqclip.video.camera._MOST_GIVEN_BACK", 1.0),
    "CLIP sees the codes": lambda: patch("vqclip.video.story.MovedImage", CodesAlone),
    "as vqclip does it": nullcontext,
}


def sharpness(image: Tensor) -> float:
    """Return the standard deviation of the Laplacian of the greyscale image."""
    kernel = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]])[None, None]
    return float(F.conv2d(image.mean(1, keepdim=True), kernel).std())


def follows(frames: list[Array], motion: Tensor) -> float:
    """Return the flow relative to ``motion`` (2, 3), a matrix for pixels from the centre."""
    height, width, _ = frames[0].shape
    y, x = np.mgrid[:height, :width] - np.array([height - 1, width - 1])[:, None, None] / 2
    places = np.stack([x, y, np.ones_like(x)], -1)
    wanted = places @ motion.numpy().T - places[..., :2]
    found = np.mean([find_flow(after, before) for before, after in pairwise(frames)], 0)
    return float((found * wanted).sum() / (wanted**2).sum())


def matrix(story: StoryConfig) -> Tensor:
    """Return the map from a pixel to its origin, p -> R(-θ)(p - pan)/zoom, as (2, 3)."""
    motion = parse_camera(story.zoom, story.pan, story.rotate)(1)
    angle = torch.deg2rad(torch.tensor(motion.rotate))
    cosine, sine = angle.cos() / motion.zoom, angle.sin() / motion.zoom
    turned = torch.stack([torch.stack([cosine, sine]), torch.stack([-sine, cosine])])
    return torch.cat([turned, -turned @ torch.tensor(motion.pan)[:, None]], 1)


def measure(name: str, story: StoryConfig, models: Models, out: Path | None) -> str:
    """Generate a story, moving the image by ``WAYS[name]``; return its line in the table."""
    with WAYS[name]():
        last = [f.image for f in deque(StoryFrames(story, models), maxlen=_MOTIONS + 1)]
    picture = Image.fromarray(last[-1])
    if out:
        out.mkdir(parents=True, exist_ok=True)
        picture.save(out / f"{name.replace(' ', '-')}.png")
    image = to_tensor(picture)
    motion = "" if name == "no camera" else f"{follows(last, matrix(story)):.2f}"
    prompts = embed_prompts(models, story.picture.prompts)
    score = float(clip_scores(story.picture, models, prompts, image))
    brightness = 2 * float(image.mean()) - 1
    return (
        f"| {name} | {2 * sharpness(image):.3f} | {2 * float(image.std()):.2f} | {brightness:+.2f} "
        f"| {motion} | {score:.2f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prompt", nargs="?", default="a sunset over the sea")
    for option, value in {"frames": 75, "every": 2, "size": 128, "seed": 0}.items():
        parser.add_argument(f"--{option}", type=int, default=value)
    for option, text in {"zoom": "1.02", "pan": "0,0", "rotate": "0.5"}.items():
        parser.add_argument(f"--{option}", default=text)
    parser.add_argument("--only", choices=WAYS, action="append", help="a way (default: all)")
    parser.add_argument("--out", type=Path, help="a folder for the last images")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    args = parser.parse_args()
    scenes = (vqclip.parse_prompts(args.prompt),)
    config = vqclip.GenerateConfig(
        scenes[0], size=(args.size,) * 2, seed=args.seed, **read_settings(args.set)
    )
    models = load_models(config)
    camera = {"zoom": args.zoom, "pan": args.pan, "rotate": args.rotate}
    shape = {"steps_per_scene": args.frames * args.every, "every": args.every}
    print(f"{args.prompt}, {args.frames} frames\n")
    print("| way | sharpness | contrast | brightness | follows | CLIP |\n|---|---|---|---|---|---|")
    for name in args.only or WAYS:
        moves = {} if name == "no camera" else camera
        story = StoryConfig(scenes, config, **shape, **moves)
        print(measure(name, story, models, args.out), flush=True)


if __name__ == "__main__":
    main()
