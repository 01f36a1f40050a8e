"""``vqclip evaluate``: metrics for models and images."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table

from vqclip.cli import options as opt
from vqclip.cli.downloading import fetch_missing
from vqclip.cli.shared_options import with_options_of
from vqclip.cli.terminal import Terminal, terminal_of
from vqclip.config import DEFAULT
from vqclip.errors import UsageError
from vqclip.files.formatting import as_json

if TYPE_CHECKING:
    import torch

    from vqclip.training.stage import Batch

Judge = Callable[["Iterable[Batch]", "torch.device"], Mapping[str, float]]

evaluate_app = typer.Typer(add_completion=False)


@evaluate_app.callback(invoke_without_command=True)
def evaluate_callback(ctx: typer.Context) -> None:
    """Evaluate models on held-out images, or score images against their prompts."""
    if ctx.invoked_subcommand is None:
        known = ", ".join(command.name or "" for command in evaluate_app.registered_commands)
        raise UsageError(f"choose what to evaluate: {known}")


Data = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="Training config with held-out images, or a folder or .jsonl file of images.",
        show_default=False,
    ),
]
Limit = Annotated[
    int | None, typer.Option("--samples", min=1, help="Number of samples to use. Default: all.")
]
Size = Annotated[
    int | None,
    typer.Option(
        min=16, help="Side length of the images in pixels. Default: the size in the config, or 128."
    ),
]
Part = Annotated[
    bool,
    typer.Option(
        "--unseen/--held-out",
        help="Evaluate on the style that was held out from training, or on the held-out groups of "
        "images.",
    ),
]
Clip = Annotated[str, typer.Option("--clip", metavar="CLIP", help="CLIP model to evaluate.")]

#: The meaning of each metric; shares are shown as percentages.
ABOUT = {
    "psnr": "dB, mean over images",
    "ssim": "structural similarity; 1 means identical",
    "perceptual": "distance between features; 0 means identical",
    "codes": "share of codes in use",
    "perplexity": "effective number of codes in use",
    "r1": "R@1, both directions",
    "r5": "R@5, both directions",
    "text_r1": "R@1, text to image",
    "image_r1": "R@1, image to text",
    "zero_shot": "correct name ranked first",
    "zero_shot_5": "correct name in the top five",
    "classes": "number of names",
    "bits_per_code": "given the condition",
    "bits_per_code_by_image": "given the image's embedding",
    "bits_per_code_unconditional": "without a condition",
    "r_precision": "correct prompt ranked first",
    "top5": "correct prompt in the top five",
    "similarity": "mean cosine similarity to the correct prompt",
    "pictures": "judged",
    "prompts": "number of different prompts",
}
SHARES = frozenset(
    ("codes", "r1", "r5", "text_r1", "image_r1", "zero_shot", "zero_shot_5", "r_precision", "top5")
)


def _common(
    data: Data,
    samples: Limit = None,
    changes: opt.Changes = None,
    yes: opt.Yes = False,
    device: opt.Device = "auto",
    quiet: opt.Quiet = False,
    json_lines: opt.Json = False,
) -> None:
    """Declare the options shared by all kinds of models."""


@evaluate_app.command("vqgan")
@with_options_of(_common)
def vqgan_command(
    ctx: typer.Context,
    vqgan: opt.Vqgan = DEFAULT,
    vqgan_config: opt.VqganConfig = None,
    size: Size = None,
    perceptual: Annotated[
        str,
        typer.Option(
            help="Perceptual distance: clip, clip:SOURCE, lpips:PATH, timm:NAME[:FILE] or none."
        ),
    ] = "clip",
    unseen: Part = False,
) -> None:
    """Evaluate a VQGAN: PSNR, SSIM, perceptual distance and codebook usage.

    vqclip evaluate vqgan recipes/vqgan.yaml
    """

    def judge(batches: "Iterable[Batch]", where: "torch.device") -> Any:
        from vqclip.evaluation.models import evaluate_vqgan
        from vqclip.hub.loaders import load_vqgan
        from vqclip.models.vqgan import check_rgb
        from vqclip.training.vqgan.perceptual import open_perceptual

        model = load_vqgan(vqgan, vqgan_config, where)
        check_rgb(model, vqgan)
        distance = None if perceptual == "none" else open_perceptual(perceptual, where)
        return evaluate_vqgan(model, batches, distance)

    _evaluate("VQGAN", judge, ctx.params)


@evaluate_app.command("clip")
@with_options_of(_common)
def clip_command(
    ctx: typer.Context,
    clip: Clip = DEFAULT,
    concepts: Annotated[
        int,
        typer.Option(min=2, help="Number of image–text pairs in each retrieval test."),
    ] = 100,
    unseen: Part = True,
) -> None:
    """Evaluate a CLIP model: retrieval of images by text and of texts by image.

    vqclip evaluate clip recipes/clip.yaml
    """

    def judge(batches: "Iterable[Batch]", where: "torch.device") -> Any:
        from vqclip.evaluation.models import evaluate_clip
        from vqclip.hub.loaders import load_perceptor

        return evaluate_clip(load_perceptor(clip, where), batches, concepts)

    _evaluate("CLIP", judge, ctx.params)


@evaluate_app.command("transformer")
@with_options_of(_common)
def transformer_command(
    ctx: typer.Context,
    transformer: Annotated[
        str,
        typer.Option("--transformer", "-t", metavar="NAME|PATH", help="Transformer to evaluate."),
    ],
    transformer_config: opt.TransformerConfig = None,
    size: Size = None,
    unseen: Part = False,
) -> None:
    """Evaluate a transformer: bits per code.

    vqclip evaluate transformer recipes/transformer.yaml -t weights/transformer
    """

    def judge(batches: "Iterable[Batch]", where: "torch.device") -> Any:
        from vqclip.evaluation.models import evaluate_transformer
        from vqclip.hub.loaders import load_transformer

        model = load_transformer(transformer, transformer_config, where)
        return evaluate_transformer(model, batches)

    _evaluate("transformer", judge, ctx.params)


@evaluate_app.command("pictures")
def pictures_command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of images made by vqclip.")],
    judge: Annotated[
        str,
        typer.Option(
            "--judge",
            metavar="CLIP",
            help="CLIP model that judges the images. Choose a model other than the one that guided "
            "the images.",
        ),
    ],
    prompts: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="File that lists all prompts, one per line. Default: the prompts recorded in "
            "the images.",
        ),
    ] = None,
    yes: opt.Yes = False,
    device: opt.Device = "auto",
    quiet: opt.Quiet = False,
    json_lines: opt.Json = False,
) -> None:
    """Evaluate images: how often a CLIP model ranks an image's own prompt first among all prompts.

    vqclip evaluate pictures out --judge ViT-B-32/laion2b_s34b_b79k
    """
    terminal = Terminal(quiet=quiet, json_lines=json_lines, yes=yes)
    from vqclip.evaluation.pictures import judge as judged
    from vqclip.evaluation.pictures import read_pictures, read_prompts, summary

    pictures = read_pictures(folder)
    wanted = read_prompts(prompts) if prompts else sorted({prompt for _, prompt, _ in pictures})
    fetch_missing([("clip", judge)], terminal)
    with terminal.loading():
        from vqclip.hub.loaders import load_perceptor
        from vqclip.models.runtime import resolve_device

        perceptor = load_perceptor(judge, resolve_device(device))
    with terminal.progress(f"evaluating {len(pictures)} images", len(pictures), "image") as bar:

        def shown() -> Any:
            for done, picture in enumerate(pictures):
                bar.update(done)
                yield picture

        verdicts = judged(perceptor, shown(), wanted)
    _report("pictures", summary(verdicts), terminal, verdicts=[asdict(v) for v in verdicts])


def _evaluate(title: str, judge: Judge, params: Mapping[str, Any]) -> None:
    """Evaluate the model given by the options, with a progress bar, and print the metrics."""
    terminal, kind = terminal_of(params), title.lower()
    with terminal.loading():
        from vqclip.evaluation.material import batches, counted, open_material
        from vqclip.models.runtime import resolve_device

        part: Literal["style", "groups"] = "style" if params["unseen"] else "groups"
        changes = params["changes"] or ()
        material = open_material(params["data"], part, params.get("size"), changes)
    fetch_missing([(kind, params[kind])], terminal)
    total = min(params["samples"] or len(material), len(material))
    device = resolve_device(params["device"])
    with terminal.progress(f"evaluating the {title}", total, "image") as bar:
        figures = judge(counted(batches(material, total, device), bar.update), device)
    _report(title, figures, terminal)


def _report(title: str, figures: Mapping[str, float], terminal: Terminal, **more: Any) -> None:
    """Print the metrics as a table, or as a line of JSON that also contains ``more``."""
    if terminal.json_lines:
        rounded = {name: round(value, 6) for name, value in figures.items()}
        typer.echo(as_json({**rounded, **more}))
        return
    table = Table("", title, "", box=None, header_style="bold")
    table.columns[1].justify = "right"
    for name, value in figures.items():
        table.add_row(name, _shown(name, value), ABOUT.get(name, ""))
    Console(highlight=False).print(table)


def _shown(name: str, value: float) -> str:
    if name in SHARES:
        return f"{value:.1%}"
    return f"{value:.0f}" if value == int(value) else f"{value:.3f}"
