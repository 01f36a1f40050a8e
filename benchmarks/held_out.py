"""Measure a VQGAN, a CLIP model or a transformer on images held out of training.

    python benchmarks/held_out.py vqgan default recipes/vqgan.yaml
    python benchmarks/held_out.py clip runs/clip/best recipes/clip.yaml --part style
    python benchmarks/held_out.py transformer runs/t/best pictures/ --samples 100

DATA is a training config, whose held-out groups or style are used; or a folder or .jsonl of images,
all of which are used.
"""

import argparse
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from judging import places
from torch import Tensor

from vqclip.errors import UsageError
from vqclip.files.safe_yaml import read_yaml
from vqclip.hub.loaders import load_perceptor, load_transformer, load_vqgan
from vqclip.models.perceptor import Perceptor
from vqclip.models.runtime import resolve_device
from vqclip.models.transformer import Net2NetTransformer
from vqclip.models.vqgan import VQModel, check_rgb
from vqclip.training.clip.retrieval import retrieval
from vqclip.training.data.batches import collate, to_device
from vqclip.training.data.dataset import HeldOut, Samples
from vqclip.training.data.settings import DataConfig, SourceConfig
from vqclip.training.data.sources import read_source
from vqclip.training.settings import changed, settings_of
from vqclip.training.stage import Batch
from vqclip.training.transformer.settings import TransformerLoss
from vqclip.training.transformer.stage import TransformerStage
from vqclip.training.vqgan.perceptual import open_perceptual
from vqclip.training.vqgan.scores import Scores

Figures = dict[str, float]
Part = Literal["groups", "style"]
BATCH = 16
_WINDOW, _SIGMA = 11, 1.5
_C1, _C2 = 0.01**2, 0.03**2  # (K·L)² for the range L = 1

TEMPLATES = ("{}", "a {}", "{} emoji", "an icon of a {}", "a picture of a {}")


@torch.no_grad()
def evaluate_vqgan(
    vqgan: VQModel,
    batches: Iterable[Batch],
    distance: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> Figures:
    """Evaluate a VQGAN by its reconstructions.

    distance: perceptual distance of two images (b, 3, h, w) in [-1, 1] -> (b,).

    Returns:
        Means over the images: ``psnr`` in dB, ``ssim`` and ``perceptual``. Also ``codes``, the
        share of codes in use; ``perplexity``, the exponential of the entropy of their use; and
        ``pictures``, the number of images.
    """
    scores, similar, done = Scores(len(vqgan.codebook)), 0.0, 0
    for batch in batches:
        image = batch["image"]
        z_q, indices = vqgan.tokenize(image)
        output = vqgan.decode(z_q).float().clamp(-1, 1)
        far = distance(image, output).mean() if distance else image.new_zeros(())
        scores.add(image, output, indices, far)
        similar += float(ssim(image / 2 + 0.5, output / 2 + 0.5).sum())
        done += len(image)
    found = scores.figures()
    figures = {"psnr": found["psnr"], "ssim": similar / done}
    if distance:
        figures["perceptual"] = found["rec_loss"]
    use = {"codes": found["codes"], "perplexity": found["perplexity"]}
    return {**figures, **use, "pictures": float(done)}


@torch.no_grad()
def evaluate_clip(perceptor: Perceptor, batches: Iterable[Batch], concepts: int) -> Figures:
    """Evaluate a CLIP model by retrieving texts for images, and images for texts.

    Returns:
        ``r1`` and ``r5``: recall at 1 and at 5 among ``concepts`` images of different groups,
        averaged over all such sets and over both directions: ``text_r1``, in which texts choose
        images, and ``image_r1``, in which images choose texts. ``zero_shot`` and ``zero_shot_5``:
        the share of images whose name ranks first, or among the first five, of all ``classes``
        names, each embedded in several sentences. ``pictures``: the number of images.
    """
    images: list[Tensor] = []
    names: list[str] = []
    groups: list[str] = []
    for batch in batches:
        images.append(perceptor.embed_image(batch["image"] / 2 + 0.5).cpu())
        names += batch["text"]
        groups += batch["group"]
    embedded = torch.cat(images)
    texts = perceptor.embed_text(names).cpu()
    figures = retrieval(embedded, texts, groups, concepts)
    return {**figures, **zero_shot(perceptor, embedded, names)}


def zero_shot(perceptor: Perceptor, images: Tensor, names: Sequence[str]) -> Figures:
    """Classify embedded images (n, d) among all their names, each put in several sentences."""
    classes = list(dict.fromkeys(names))
    embedded = [
        perceptor.embed_text([sentence.format(name) for sentence in TEMPLATES]).mean(0).cpu()
        for name in classes
    ]
    own = torch.tensor([classes.index(name) for name in names])
    place = places(images @ F.normalize(torch.stack(embedded), dim=1).T, own)
    return {
        "zero_shot": float((place < 1).float().mean()),
        "zero_shot_5": float((place < 5).float().mean()),
        "classes": float(len(classes)),
        "pictures": float(len(names)),
    }


def evaluate_transformer(transformer: Net2NetTransformer, batches: Iterable[Batch]) -> Figures:
    """Evaluate a transformer by its bits per code on images.

    Returns:
        ``bits_per_code`` given the condition and, for a transformer conditioned on CLIP embeddings,
        given the image's embedding (``…_by_image``) and given no condition (``…_unconditional``);
        ``perplexity``, that of ``bits_per_code``; and ``pictures``, the number of images.

    Raises:
        UsageError: the samples lack the transformer's condition.
    """
    settings = settings_of("transformer", {})
    stage = TransformerStage(transformer, settings, TransformerLoss())
    shown = list(batches)
    if not shown:
        raise UsageError("there is no image to evaluate the transformer on")
    figures = stage.validate(shown)
    transformer.requires_grad_(False)  # the training stage enables gradients
    done = float(sum(len(batch["image"]) for batch in shown))
    return {**figures, "perplexity": 2 ** figures["bits_per_code"], "pictures": done}


def ssim(x: Tensor, y: Tensor) -> Tensor:
    """Return the mean structural similarity of images (b, c, h, w) in [0, 1], (b,).

    SSIM = (2 μx μy + C1)(2 σxy + C2) / ((μx² + μy² + C1)(σx² + σy² + C2)), computed in Gaussian
    windows of 11 pixels (σ = 1.5) that lie wholly inside the image, and averaged over positions and
    channels. It is computed in float64 on the CPU, because the variances are small differences.
    """
    x, y = x.cpu().double(), y.cpu().double()
    channels = x.shape[1]
    kernel = _gaussian(x).expand(channels, 1, -1, -1)

    def local(values: Tensor) -> Tensor:
        return F.conv2d(values, kernel, groups=channels)

    mean_x, mean_y = local(x), local(y)
    variance_x = local(x * x) - mean_x.square()
    variance_y = local(y * y) - mean_y.square()
    covariance = local(x * y) - mean_x * mean_y
    means = (2 * mean_x * mean_y + _C1) / (mean_x.square() + mean_y.square() + _C1)
    return (means * (2 * covariance + _C2) / (variance_x + variance_y + _C2)).mean((1, 2, 3))


def _gaussian(like: Tensor) -> Tensor:
    """Return the Gaussian window, (11, 11), with sum 1."""
    places = torch.arange(_WINDOW, dtype=like.dtype, device=like.device) - _WINDOW // 2
    line = torch.exp(-places.square() / (2 * _SIGMA**2))
    line = line / line.sum()
    return line[:, None] * line


def open_material(
    path: str, part: Part = "groups", size: int | None = None, changes: Sequence[str] = ()
) -> HeldOut:
    """Return the samples for an evaluation.

    path: a training YAML (or only its ``data`` section), whose held-out groups or style are used;
        or a folder of images or a ``.jsonl`` file, of which all images are used.
    size: side of the images in pixels. Default: the size in the YAML.
    changes: changes to make to the YAML, such as ``data.size=64``.

    Raises:
        UsageError: there are no samples, or the YAML holds none out.
    """
    if Path(path).suffix not in (".yaml", ".yml"):
        source = SourceConfig(path)
        settings = DataConfig((source,), size=size or DataConfig.size)
        return HeldOut(read_source(source), settings)
    values = read_yaml(Path(path))
    if not isinstance(values, dict):
        raise UsageError(f"{path} contains no data settings")
    values = changed(values if "data" in values else {"data": values}, changes)
    data = {key: value for key, value in values["data"].items() if key != "encode"}
    if size is not None:
        data |= {"size": size, "crop": None}
    samples = Samples(DataConfig.from_dict(data))
    found = samples.groups if part == "groups" else samples.unseen
    if not found:
        rule = "a share of groups" if part == "groups" else "a style (where)"
        raise UsageError(f"nothing is held out in {path}: its data.hold_out needs {rule}")
    return found


def batches(samples: Sequence[Any], count: int, device: torch.device) -> Iterator[Batch]:
    """Yield the first ``count`` samples in batches on a device, with ``image`` in [-1, 1]."""
    for start in range(0, count, BATCH):
        chosen = [samples[i] for i in range(start, min(start + BATCH, count))]
        yield to_device(collate(chosen), device)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("kind", choices=("vqgan", "clip", "transformer"))
    parser.add_argument("model", help="name, file or folder of the model")
    parser.add_argument("data", help="training config, or a folder or .jsonl of images")
    parser.add_argument("--part", choices=("groups", "style"), default="groups")
    parser.add_argument("--size", type=int, help="side of the images in pixels")
    parser.add_argument("--samples", type=int, help="number of images; default: all")
    parser.add_argument(
        "--set", nargs="+", default=[], dest="changes", help="changes to the config"
    )
    parser.add_argument("--perceptual", default="clip", help="perceptual distance, or none")
    parser.add_argument("--concepts", type=int, default=100, help="pairs in a retrieval contest")
    options = parser.parse_args()
    device = resolve_device()
    samples = open_material(options.data, options.part, options.size, options.changes)
    shown = batches(samples, min(options.samples or len(samples), len(samples)), device)
    if options.kind == "vqgan":
        vqgan = load_vqgan(options.model, None, device)
        check_rgb(vqgan, options.model)
        named = options.perceptual != "none"
        figures = evaluate_vqgan(
            vqgan, shown, open_perceptual(options.perceptual, device) if named else None
        )
    elif options.kind == "clip":
        figures = evaluate_clip(load_perceptor(options.model, device), shown, options.concepts)
    else:
        figures = evaluate_transformer(load_transformer(options.model, None, device), shown)
    for name, value in figures.items():
        print(f"{name:28} {value:.4f}")


if __name__ == "__main__":
    main()
