"""Train every task of the paper on shapes, and measure how well samples follow their conditions.

    python examples/shapes.py shapes
    python examples/tasks.py shapes --train       # 15 minutes; keeps trained models
    python examples/tasks.py shapes --figure tasks.png

The configs come from ``vqclip train --example``. Each transformer is sampled with conditions from
its training data, at the training size and at twice the width, where two conditions are placed side
by side and the sliding window is used. A sample is right if its shape has the same colour as the
expected shape and overlaps it by more than half (intersection over union).
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

import vqclip
from vqclip.config.sampling import Sampling
from vqclip.models.condition_stages import ClassLabel
from vqclip.models.transformer import Net2NetTransformer
from vqclip.sampling.conditions import read_condition
from vqclip.training.examples import example, stage_of

sys.path.insert(0, str(Path(__file__).parent))
from shapes import GROUND, KINDS

#: kind -> (folder of its conditions, name of the condition)
MAPS = {
    "segmentation": ("labels", "labels"),
    "depth": ("depth", "depth"),
    "edges": ("edges", "edges"),
    "super-resolution": ("small", "upscale"),
}
ORDER = (
    "vqgan", "segmentation-vqgan", "depth-vqgan", "edges-vqgan",
    *("unconditional", "class", *MAPS, "coordinates"),
)  # fmt: skip
SIDE = 32
_NEAR_GROUND = 60  # maximum RGB distance at which a pixel counts as background
_LEAST_SHAPE = 0.02  # fraction of a square, half that of the smallest cross


@dataclass(frozen=True)
class Drawn:
    """A sample, the image that it should match, and its condition."""

    image: Image.Image
    wanted: Image.Image
    condition: Image.Image | None = None

    @property
    def right(self) -> bool:
        """Whether the colour and position match the expected shape in every part."""
        pairs = zip(parts(self.image), parts(self.wanted), strict=True)
        return all(alike(image, wanted) for image, wanted in pairs)


def parts(image: Image.Image) -> Iterator[Image.Image]:
    """Yield the squares of a wide image, from left to right."""
    for left in range(0, image.width, SIDE):
        yield image.crop((left, 0, left + SIDE, SIDE))


def shape_in(image: Image.Image) -> tuple[str, "np.ndarray"]:
    """Return the kind of shape in an image, by its colour, and its pixels (h, w), bool."""
    pixels = np.asarray(image.convert("RGB"), np.float32)
    inside = np.linalg.norm(pixels - GROUND, axis=2) > _NEAR_GROUND
    colour = np.median(pixels[inside], 0) if inside.any() else np.array(GROUND)
    distances = {kind: np.linalg.norm(colour - rgb) for kind, (rgb, _) in KINDS.items()}
    return min(distances, key=lambda kind: distances[kind]), inside


def alike(image: Image.Image, wanted: Image.Image) -> bool:
    """Return whether two images show a shape of the same colour at the same position."""
    (kind, inside), (wanted_kind, wanted_inside) = shape_in(image), shape_in(wanted)
    overlap = (inside & wanted_inside).sum() / max(1, (inside | wanted_inside).sum())
    return kind == wanted_kind and overlap > 0.5


def is_trained(kind: str) -> bool:
    """Return whether the model of an example exists."""
    return Path("runs", kind, "last").is_dir()


def train(kind: str, folder: Path) -> None:
    """Train an example, unless its model exists."""
    if is_trained(kind):
        return
    Path(f"{kind}.yaml").write_text(example(kind), encoding="utf-8")
    words = ["train", stage_of(kind), f"{kind}.yaml", "--set", f"data.folder={folder}"]
    subprocess.run([sys.executable, "-m", "vqclip", *words], check=True)


def beside(first: Image.Image, second: Image.Image) -> Image.Image:
    """Return two images of the same mode side by side."""
    both = Image.new(first.mode, (first.width + second.width, first.height))
    both.paste(first, (0, 0))
    both.paste(second, (first.width, 0))
    return both


def conditions(
    folder: Path, part: str, count: int, *, wide: bool
) -> Iterator[tuple[Image.Image, Image.Image]]:
    """Yield (condition, expected image) from the training data; a wide pair joins two of them."""
    files = sorted((folder / "pictures").rglob("*.png"))
    chosen = files[:: max(1, len(files) // count)][:count]  # ordered by kind
    for number, file in enumerate(chosen):
        other = chosen[min(number ^ 1, len(chosen) - 1)]  # of the same kind
        pair = []
        for place in (part, "pictures"):
            names = [folder / place / f.relative_to(folder / "pictures") for f in (file, other)]
            images = [Image.open(name) for name in names]
            pair.append(beside(*images) if wide else images[0])
        yield pair[0], pair[1]


def from_maps(kind: str, folder: Path, count: int, *, wide: bool) -> list[Drawn]:
    """Sample a transformer with maps from the training data."""
    part, option = MAPS[kind]
    model = vqclip.load_transformer(Path("runs", kind, "last"))
    size = (2 * SIDE if wide else SIDE, SIDE)
    pairs = list(conditions(folder, part, count, wide=wide))
    codes = []
    with tempfile.TemporaryDirectory() as place:
        file = Path(place, "condition.png")
        for given, _ in pairs:
            given.save(file)
            codes.append(model.encode_condition(read_condition(model, {option: str(file)}, size)))
    images = sample(model, torch.cat(codes), size)
    return [Drawn(image, w, given) for image, (given, w) in zip(images, pairs, strict=True)]


def sample(
    model: Net2NetTransformer, codes: torch.Tensor | None, size: tuple[int, int], count: int = 1
) -> list[Image.Image]:
    """Sample an image of ``size`` (width, height) for each condition, or ``count`` without one."""
    factor = model.vqgan.downsampling
    grid = (size[1] // factor, size[0] // factor)
    seeds = range(count if codes is None else len(codes))
    with torch.no_grad():
        indices = model.sample(codes, grid, sampling=Sampling(), seed=seeds)
        images = model.vqgan.decode(model.vqgan.codes(indices))
    pixels = ((images.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    return [Image.fromarray(each) for each in pixels]


def from_classes(count: int, *, wide: bool) -> tuple[list[Image.Image], float]:
    """Sample every class; return the images and the fraction with the class's colour."""
    model = vqclip.load_transformer(Path("runs", "class", "last"))
    assert isinstance(model.cond_stage_model, ClassLabel)
    names = model.cond_stage_model.names
    wanted = [number % len(names) for number in range(count)]
    codes = model.encode_condition(torch.tensor(wanted))
    images = sample(model, codes, (2 * SIDE if wide else SIDE, SIDE))
    right = [kind_of_shape(i) == names[n] for i, n in zip(images, wanted, strict=True)]
    return images, sum(right) / count


def kind_of_shape(image: Image.Image) -> str | None:
    """Return the kind of shape in an image, judged by its colour, or None if there is no shape."""
    kind, inside = shape_in(image)
    return kind if inside.mean() > _LEAST_SHAPE else None


def from_nothing(kind: str, count: int, *, wide: bool) -> tuple[list[Image.Image], float]:
    """Sample without a condition; return the images and the fraction that shows shapes."""
    model = vqclip.load_transformer(Path("runs", kind, "last"))
    size = (2 * SIDE if wide else SIDE, SIDE)
    codes = None
    if kind == "coordinates":
        codes = model.encode_condition(read_condition(model, {}, size)).expand(count, -1, -1)
    images = sample(model, codes, size, count)
    return images, sum(kind_of_shape(image) is not None for image in images) / count


def figure(rows: list[tuple[str, list[Image.Image]]], path: Path, scale: int = 2) -> None:
    """Draw rows of images, each with a title."""
    title, gap = 132, 4
    widths = [title + sum(i.width * scale + gap for i in images) for _, images in rows]
    height = SIDE * scale + gap
    sheet = Image.new("RGB", (max(widths), height * len(rows)), "white")
    draw = ImageDraw.Draw(sheet)
    for row, (name, images) in enumerate(rows):
        draw.text((gap, row * height + height // 2 - 6), name, fill="black")
        left = title
        for image in images:
            large = image.resize(
                (image.width * scale, image.height * scale), Image.Resampling.NEAREST
            )
            sheet.paste(large, (left, row * height))
            left += large.width + gap
    sheet.save(path, optimize=True)


def shown(condition: Image.Image) -> Image.Image:
    """Return a condition as a displayable image, as high as the samples."""
    values = np.asarray(condition, np.float32)
    if condition.mode != "RGB":  # label maps would be too dark, 16-bit depth too bright
        condition = Image.fromarray((values / max(1, values.max()) * 255).astype(np.uint8))
    width = condition.width * SIDE // condition.height
    return condition.convert("RGB").resize((width, SIDE), Image.Resampling.NEAREST)


def measured(folder: Path, count: int) -> Iterator[tuple[str, list[Image.Image]]]:
    """Sample all trained tasks, print their scores, and yield the rows of the figure."""
    for kind in filter(is_trained, ("unconditional", "coordinates", "class")):
        draw = from_classes if kind == "class" else partial(from_nothing, kind)
        (narrow, first), (wide, second) = (draw(count, wide=wide) for wide in (False, True))
        what = "right colour" if kind == "class" else "with a shape"
        tell(f"{kind:17} {what} {first:.0%}, at twice the width {second:.0%}")
        yield kind, [*narrow[:4], *wide[:2]]
    for kind in filter(is_trained, MAPS):
        narrow, wide = (from_maps(kind, folder, count, wide=wide) for wide in (False, True))
        first, second = (sum(d.right for d in drawn) / count for drawn in (narrow, wide))
        tell(f"{kind:17} right colour and position {first:.0%}, at twice the width {second:.0%}")
        apart = max(1, count // 4)  # so that each kind of shape occurs once
        some = [*narrow[::apart][:4], *wide[:: 2 * apart][:2]]
        yield f"{kind}: condition", [shown(d.condition) for d in some if d.condition]
        yield "wanted", [d.wanted for d in some]
        yield "sample", [d.image for d in some]


def tell(text: str) -> None:
    """Print a line."""
    sys.stdout.write(text + "\n")


def main() -> None:
    """Train, sample and measure, as set on the command line."""
    parser = argparse.ArgumentParser(description="Train and measure every task on shapes.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--train", action="store_true", help="train models missing from runs/")
    parser.add_argument("--count", type=int, default=16, help="samples per task (default: 16)")
    parser.add_argument("--figure", type=Path, help="write a figure of some samples")
    options = parser.parse_args()
    if options.train:
        for kind in ORDER:
            train(kind, options.folder)
    rows = list(measured(options.folder, options.count))
    if options.figure:
        figure(rows, options.figure)


if __name__ == "__main__":
    main()
