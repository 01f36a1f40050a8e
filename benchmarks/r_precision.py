"""Measure R-precision over 100 prompts with a judge that guided no image.

Every prompt is used with every seed. An image counts if its own prompt fits it best among all 100,
according to the judge, a separate CLIP model trained only for this purpose. Drafts (the images
before the first step) and refined images (after the last step) are judged separately. The images, a
sheet of each kind and results.json are saved in OUT; existing images are reused, so a run can be
interrupted.

    python benchmarks/r_precision.py OUT --judge runs/judge/best
    python benchmarks/r_precision.py OUT --judge CLIP --seeds 3 --set steps=60 --drafts-only
"""

import argparse
import json
import platform
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from common import captioned, montage, read_settings
from PIL import Image

import vqclip
from vqclip.evaluation.pictures import Verdict, judge, read_prompts, summary
from vqclip.hub.loaders import Models, load_models, load_perceptor
from vqclip.media.images import load_image, read_metadata, save_image, to_pil
from vqclip.runs.naming import prompt_slug

PROMPTS = Path(__file__).with_name("prompts100.txt")
KINDS = ("draft", "refined")
_ROW, _GAP = 10, 8  # images per row, pixels between them


def draw(
    config: vqclip.GenerateConfig, models: Models, kinds: Sequence[str]
) -> Iterator[tuple[str, Image.Image, float]]:
    """Yield both kinds of image from one run, and the seconds until each was finished."""
    started = time.perf_counter()
    frames = vqclip.generate(config, models)
    first = next(frame for frame in frames if frame.stage == "optimization")
    picture, seconds = to_pil(first.image), time.perf_counter() - started
    if "draft" in kinds:
        yield "draft", picture, seconds
    if "refined" in kinds:
        *_, last = frames
        yield "refined", to_pil(last.image), time.perf_counter() - started


def path_of(folder: Path, kind: str, config: vqclip.GenerateConfig) -> Path:
    return folder / kind / f"{prompt_slug(config)}-{config.seed}.png"


def is_drawn(folder: Path, kind: str, config: vqclip.GenerateConfig) -> bool:
    """Return whether the image exists, or raise an error if it has other settings."""
    path = path_of(folder, kind, config)
    if not path.is_file():
        return False
    if read_metadata(path)["settings"] != json.loads(json.dumps(config.to_dict())):
        raise SystemExit(f"{path} was generated with other settings: choose another folder")
    return True


def draw_all(
    folder: Path,
    prompts: Sequence[str],
    seeds: int,
    base: vqclip.GenerateConfig,
    kinds: Sequence[str],
) -> None:
    """Generate missing images; each image records its settings and seconds."""
    wanted = [
        replace(base, prompts=vqclip.parse_prompts(prompt), seed=base.seed + seed)
        for seed in range(seeds)
        for prompt in prompts
    ]
    missing = [c for c in wanted if not all(is_drawn(folder, kind, c) for kind in kinds)]
    models = load_models(base) if missing else None
    for number, config in enumerate(missing, 1):
        assert models
        for kind, picture, seconds in draw(config, models, kinds):
            about = {"prompt": config.prompts[0].content, "seed": config.seed, "seconds": seconds}
            about |= {"settings": config.to_dict(), "version": vqclip.__version__}
            save_image(picture, path_of(folder, kind, config), about, overwrite=True)
        print(f"\r{number}/{len(missing)} {about['prompt'][:40]:40}", end="", flush=True)
    if missing:
        print()


def judged(folder: Path, name: str, prompts: Sequence[str]) -> tuple[list[Verdict], list[float]]:
    """Judge all images in a folder; return the verdicts and each image's seconds."""
    files = sorted(folder.glob("*.png"))
    told = [read_metadata(file) for file in files]
    pictures = (
        (file.name, about["prompt"], load_image(file))
        for file, about in zip(files, told, strict=True)
    )
    return judge(load_perceptor(name), pictures, prompts), [about["seconds"] for about in told]


def sheet(folder: Path, verdicts: Sequence[Verdict], prompts: Sequence[str], path: Path) -> None:
    """Write a sheet with one image per prompt, for the first seed, above its prompt and rank.

    If the judge ranked another prompt first, that prompt is shown in red.
    """
    firsts = {verdict.prompt: verdict for verdict in reversed(verdicts)}
    shown = [firsts[prompt] for prompt in prompts if prompt in firsts]
    cells = [
        captioned(
            load_image(folder / verdict.file),
            verdict.prompt,
            f"{verdict.place}. for {verdict.taken_for}" if verdict.place > 1 else "",
        )
        for verdict in shown
    ]
    montage(cells, min(_ROW, len(cells)), _GAP).save(path)


def report(
    kind: str, folder: Path, args: argparse.Namespace, prompts: Sequence[str]
) -> dict[str, Any]:
    """Judge one kind of image, write its sheet, and print its line."""
    verdicts, seconds = judged(folder / kind, args.judge, prompts)
    sheet(folder / kind, verdicts, prompts, folder / f"sheet-{kind}.png")
    figures = summary(verdicts)
    print(
        f"{kind:8} R-precision {figures['r_precision']:.1%}  among the first five "
        f"{figures['top5']:.1%}  {mean(seconds):.1f} s a picture  ({len(verdicts)} pictures)"
    )
    return {**figures, "seconds": mean(seconds), "verdicts": [asdict(v) for v in verdicts]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--judge", required=True, help="a CLIP model, as for vqclip --clip")
    parser.add_argument("--prompts", type=Path, default=PROMPTS)
    parser.add_argument("--only", type=int, help="use only the first prompts; all are ranked")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--drafts-only", action="store_true")
    args = parser.parse_args()
    prompts = read_prompts(args.prompts)
    base = vqclip.GenerateConfig(
        vqclip.parse_prompts(prompts[0]), seed=args.seed, **read_settings(args.set)
    )
    kinds = KINDS[:1] if args.drafts_only else KINDS
    draw_all(args.out, prompts[: args.only], args.seeds, base, kinds)
    results: dict[str, Any] = {kind: report(kind, args.out, args, prompts) for kind in kinds}
    results |= {"judge": args.judge, "seeds": args.seeds, "settings": base.to_dict()}
    results |= {"processor": platform.processor(), "threads": torch.get_num_threads()}
    (args.out / "results.json").write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
