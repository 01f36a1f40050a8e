"""Generate images with a perceptor, as hard negatives for training it further.

    python recipes/negatives.py runs/clip/best negatives --captions data/captions.jsonl
    vqclip train clip recipes/clip.yaml --set start=runs/clip/best \\
        --set loss.negatives.path=negatives/negatives.jsonl

Each image is optimised in a few steps from random codes for a caption in the training data. The
perceptor sees the caption's subject in it, although people would not.
"""

import argparse
import json
import random
from collections import deque
from pathlib import Path

from vqclip import GenerateConfig, parse_prompts
from vqclip.generation.step import generate
from vqclip.hub.loaders import load_models
from vqclip.media.images import save_image, to_pil


def captions(file: Path, count: int, seed: int) -> list[tuple[str, str]]:
    """Return ``count`` random captions from different groups, each with its group."""
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line]
    texts = {row["group"]: row["text"][0] for row in rows if row["text"]}
    return [(texts[group], group) for group in random.Random(seed).sample(sorted(texts), count)]


def main() -> None:
    """Generate the images and list them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("clip", help="the perceptor: a folder exported by training")
    parser.add_argument("output", type=Path)
    parser.add_argument("--captions", type=Path, required=True)
    parser.add_argument("--vqgan", default="default")
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--cutouts", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    models = None
    with (options.output / "negatives.jsonl").open("a", encoding="utf-8") as listed:
        chosen = captions(options.captions, options.count, options.seed)
        for number, (text, group) in enumerate(chosen):
            name = f"{options.seed}-{number:05d}.png"
            config = GenerateConfig(
                prompts=parse_prompts(text),
                clip=((options.clip, 1.0),),
                vqgan=options.vqgan,
                init="random",
                steps=options.steps,
                num_cutouts=options.cutouts,
                seed=options.seed + number,
            )
            models = models or load_models(config)
            (last,) = deque(generate(config, models), maxlen=1)
            save_image(to_pil(last.image), options.output / name, overwrite=True)
            row = {"picture": name, "prompt": text, "group": group}
            listed.write(json.dumps(row, ensure_ascii=False) + "\n")
            listed.flush()
            print(f"{number + 1}/{options.count} {text}")


if __name__ == "__main__":
    main()
