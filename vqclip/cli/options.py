"""The options of the commands: names, help and panels; the defaults are those of the configs."""

from pathlib import Path
from typing import Annotated, Any

import typer

from vqclip.errors import UsageError
from vqclip.files.environment import user_path

PICTURE, OUTPUT, MODELS, METHOD, SHOW = "Picture", "Output", "Models", "Method", "Terminal"
_NAMED = "Of vqclip weights list; or a checkpoint or folder."


def _option(*names: str, panel: str, help: str, metavar: str | None = None) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=panel, metavar=metavar)


Prompts = Annotated[
    list[str] | None,
    typer.Argument(
        help='What to draw: "a red apple", "apple:1.5 | blurry:-0.5", text:weight:stop. '
        r"\: and \| are plain characters.",
        metavar="PROMPT",
        show_default=False,
    ),
]
ImagePrompts = Annotated[
    list[str] | None,
    _option("--image-prompt", panel=PICTURE, metavar="FILE:WEIGHT", help="Draw what this shows."),
]
NoisePrompts = Annotated[
    list[str] | None,
    _option("--noise-prompt", panel=PICTURE, metavar="SEED:WEIGHT", help="Draw a random idea."),
]
Size = Annotated[
    str | None,
    _option("--size", "-s", panel=PICTURE, metavar="WxH", help="Pixels; else the VQGAN's own."),
]
PictureSize = Annotated[
    str | None,
    _option("--size", "-s", panel=PICTURE, metavar="WxH", help="Resize to this first."),
]
Steps = Annotated[int, _option("--steps", "-n", panel=PICTURE, help="Optimisation steps.")]
Seed = Annotated[
    int | None, _option("--seed", panel=PICTURE, help="Same seed, same picture; else drawn.")
]
Count = Annotated[
    int, _option("--count", "-c", panel=PICTURE, help="Pictures, with seeds counting up.")
]
Init = Annotated[
    str,
    _option(
        "--init",
        "-i",
        panel=PICTURE,
        metavar="START",
        help="draft, random, noise, gradient, perlin, sample, a picture's path or URL, codes.npz.",
    ),
]
Fit = Annotated[
    str,
    _option("--fit", panel=PICTURE, help="How it takes the size: cover, contain, stretch."),
]
InitWeight = Annotated[
    float | None,
    _option(
        "--init-weight",
        panel=PICTURE,
        help="Hold the picture to its start, this strongly: 1 to a draft, else 0.",
    ),
]
InitDecay = Annotated[
    str, _option("--init-decay", panel=PICTURE, help="constant, or harmonic: 1/(2i+1) at step i.")
]
InitTarget = Annotated[
    str, _option("--init-target", panel=PICTURE, help="Hold the codes to their start, or to zero.")
]

Output = Annotated[
    str | None,
    _option(
        "--output",
        "-o",
        panel=OUTPUT,
        metavar="FILE",
        help=".png, .jpg or .webp; may hold {prompt} {seed} {steps} {size} {n}.",
    ),
]
Overwrite = Annotated[bool, _option("--overwrite", panel=OUTPUT, help="Replace existing files.")]
Frames = Annotated[
    Path | None, _option("--frames", panel=OUTPUT, metavar="DIR", help="Keep frames in a folder.")
]
Every = Annotated[
    int, _option("--every", "-e", panel=OUTPUT, help="A frame each so many steps, or codes.")
]
Gif = Annotated[bool, _option("--gif", panel=OUTPUT, help="Also a GIF of the frames.")]
Mp4 = Annotated[bool, _option("--mp4", panel=OUTPUT, help="Also an MP4 of the frames.")]
Webp = Annotated[bool, _option("--webp", panel=OUTPUT, help="Also an animated WebP of them.")]
Fps = Annotated[
    float | None, _option("--fps", panel=OUTPUT, help="Frames a second; else about 8 s in all.")
]
SaveCodes = Annotated[
    bool, _option("--save-codes", panel=OUTPUT, help="Also the codes, .npz, for --init.")
]
Checkpoint = Annotated[
    bool, _option("--checkpoint", panel=OUTPUT, help="Keep what vqclip resume goes on from.")
]

Transformer = Annotated[
    str | None,
    _option("--transformer", "-t", panel=MODELS, metavar="NAME|PATH", help=_NAMED),
]
TransformerConfig = Annotated[
    str | None,
    _option("--transformer-config", panel=MODELS, metavar="YAML", help="If not beside it."),
]
Drafts = Annotated[
    int, _option("--drafts", panel=PICTURE, help="Drafts drawn, of which CLIP takes the best.")
]
DraftOnly = Annotated[
    bool, _option("--draft", panel=PICTURE, help="The best draft is the picture: --steps 0.")
]
Guidance = Annotated[
    float, _option("--guidance", panel=METHOD, help="How much the prompt counts in drafts.")
]
RankPrompts = Annotated[
    list[str] | None,
    _option("--prompt", panel=PICTURE, metavar="TEXT", help="Rank the samples by it, with CLIP."),
]
Samples = Annotated[
    int, _option("--samples", "-c", panel=PICTURE, help="Pictures, with seeds counting up.")
]
Temperature = Annotated[
    float, _option("--temperature", panel=METHOD, help="Below 1: more usual; 0: the likeliest.")
]
TopK = Annotated[
    int, _option("--top-k", panel=METHOD, help="Draw from so many likeliest codes; 0: from all.")
]
TopP = Annotated[
    float, _option("--top-p", panel=METHOD, help="Draw from the likeliest with this probability.")
]
Keep = Annotated[
    str | None,
    _option(
        "--keep",
        "-k",
        panel=PICTURE,
        metavar="PART",
        help="top, bottom, left, right (halves), box:x,y,w,h in pixels, or a mask, white where "
        "it is kept; else all that is not transparent.",
    ),
]
Extend = Annotated[
    str | None,
    _option(
        "--extend", panel=PICTURE, metavar="L,T,R,B", help="Pixels beyond the left, top, right, …"
    ),
]
Refine = Annotated[
    int,
    _option("--refine", panel=PICTURE, metavar="STEPS", help="Optimise the best one's new codes."),
]
NoPaste = Annotated[
    bool, _option("--no-paste", panel=PICTURE, help="Show the kept part as the VQGAN has it.")
]
ClassName = Annotated[
    str | None,
    _option("--class", panel=PICTURE, metavar="NAME|ID", help="Of ImageNet: vqclip list classes."),
]
LabelMap = Annotated[
    str | None,
    _option("--labels", panel=PICTURE, metavar="MAP", help="A palette or greyscale PNG of labels."),
]
Relabel = Annotated[
    list[str] | None,
    _option(
        "--label",
        panel=PICTURE,
        metavar="NUMBER=NAME",
        help="What a number of the map stands for, 3=sky or 3=157: vqclip list coco-stuff.",
    ),
]
DepthMap = Annotated[
    str | None,
    _option("--depth", panel=PICTURE, metavar="MAP", help="8 or 16 bits grey, or float32 in RGBA."),
]
Edges = Annotated[
    str | None,
    _option(
        "--edges", panel=PICTURE, metavar="MAP|PHOTO", help="White lines on black, or a photo."
    ),
]
Upscale = Annotated[
    str | None, _option("--upscale", panel=PICTURE, metavar="SMALL", help="Enlarge a picture.")
]

PlainOutput = Annotated[
    str | None,
    _option("--output", "-o", panel=OUTPUT, metavar="FILE", help="A .png, .jpg or .webp."),
]
CodesOut = Annotated[
    Path | None,
    _option("--codes", panel=OUTPUT, metavar="FILE", help="Also the codes: .npz, for decode."),
]

Vqgan = Annotated[str, _option("--vqgan", panel=MODELS, metavar="NAME|PATH", help=_NAMED)]
VqganConfig = Annotated[
    str | None,
    _option("--vqgan-config", panel=MODELS, metavar="YAML", help="Its yaml, if not beside it."),
]
Clip = Annotated[
    list[str],
    _option(
        "--clip",
        panel=MODELS,
        metavar="NAME:WEIGHT",
        help="MODEL/PRETRAINED of open_clip, hf-hub:…, a folder; again for several.",
    ),
]
Yes = Annotated[
    bool, _option("--yes", "-y", panel=MODELS, help="Fetch models that are missing, unasked.")
]
Device = Annotated[str, _option("--device", panel=MODELS, help="auto, cpu, cuda, cuda:1, mps.")]
Precision = Annotated[
    str, _option("--precision", panel=MODELS, help="auto, float32, bfloat16, float16, portable.")
]
Deterministic = Annotated[
    bool,
    _option("--deterministic", panel=MODELS, help="On CUDA: refuse what varies from run to run."),
]
CutChunk = Annotated[
    int | None,
    _option("--cut-chunk", panel=MODELS, help="Cutouts at a time: less needs less memory."),
]

Preset = Annotated[
    str | None,
    _option("--preset", "-p", panel=METHOD, help="A peer's settings: vqclip list presets."),
]
Cutouts = Annotated[int, _option("--cutouts", panel=METHOD, help="Cutouts seen at every step.")]
CutMethod = Annotated[str, _option("--cut-method", panel=METHOD, help="vqclip list cut-methods.")]
CutPower = Annotated[float, _option("--cut-power", panel=METHOD, help="Above 1: smaller cutouts.")]
Augment = Annotated[
    str,
    _option(
        "--augment",
        "-a",
        panel=METHOD,
        metavar="A,B(x=1)",
        help="Augmentations in order, or none: vqclip list augmentations.",
    ),
]
Noise = Annotated[float, _option("--noise", panel=METHOD, help="Noise on the cutouts.")]
OptimizerName = Annotated[str, _option("--optimizer", panel=METHOD, help="vqclip list optimizers.")]
LearningRate = Annotated[
    float | None, _option("--lr", panel=METHOD, help="Learning rate: 0.05 after a draft, else 0.1.")
]
Schedule = Annotated[
    str, _option("--schedule", panel=METHOD, help="Of the rate: constant, linear, cosine, drop.")
]
Ema = Annotated[
    float, _option("--ema", panel=METHOD, help="Show a running average of z, such as 0.9.")
]
Losses = Annotated[
    list[str] | None,
    _option("--loss", panel=METHOD, metavar="NAME:WEIGHT", help="Further: vqclip list losses."),
]

Quiet = Annotated[bool, _option("--quiet", "-q", panel=SHOW, help="Print the files' names only.")]
Json = Annotated[bool, _option("--json", panel=SHOW, help="Print a line of JSON a picture.")]
DryRun = Annotated[
    bool, _option("--dry-run", panel=SHOW, help="Only tell files, time and memory; write nothing.")
]
Preview = Annotated[bool, _option("--preview", panel=SHOW, help="Show the picture as it grows.")]


def parse_size(text: str | None) -> tuple[int, int] | None:
    """Read ``256x192`` or ``256``, (width, height) in pixels.

    Raises:
        UsageError: anything else.
    """
    if text is None:
        return None
    sides = text.lower().replace("×", "x").split("x")
    if len(sides) > 2 or not all(side.strip().isdecimal() for side in sides):
        raise UsageError(f"cannot read the size {text!r}: write WIDTHxHEIGHT, such as 256x192")
    return int(sides[0]), int(sides[-1])


def output_path(output: str | None, default: str, overwrite: bool) -> Path:
    """Return the path that was chosen, or a free one."""
    if output:
        return user_path(output)
    from vqclip.files.atomic import free_path

    return Path(default) if overwrite else free_path(Path(default))
