"""``vqclip complete photo.jpg --keep top``: the transformer imagines the rest."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from vqclip.cli import options as opt
from vqclip.cli.drawing import DrawingSession, parse_extend, session_of, settings
from vqclip.config import CompleteConfig, OutputConfig
from vqclip.files.environment import user_path

_D = CompleteConfig
_CLIP = [name for name, _ in _D.clip]


def complete_command(
    ctx: typer.Context,
    picture: Annotated[
        str, typer.Argument(metavar="PICTURE", help="A path or URL.", show_default=False)
    ],
    keep: opt.Keep = None,
    extend: opt.Extend = None,
    size: opt.PictureSize = None,
    prompt: opt.RankPrompts = None,
    samples: opt.Samples = _D.samples,
    refine: opt.Refine = _D.refine,
    seed: opt.Seed = None,
    no_paste: opt.NoPaste = False,
    class_name: opt.ClassName = None,
    labels: opt.LabelMap = None,
    label: opt.Relabel = None,
    depth: opt.DepthMap = None,
    edges: opt.Edges = None,
    output: opt.PlainOutput = None,
    every: opt.Every = OutputConfig.every,
    gif: opt.Gif = False,
    mp4: opt.Mp4 = False,
    webp: opt.Webp = False,
    fps: opt.Fps = None,
    save_codes: opt.SaveCodes = False,
    overwrite: opt.Overwrite = False,
    transformer: opt.Transformer = None,
    transformer_config: opt.TransformerConfig = None,
    clip: opt.Clip = _CLIP,
    yes: opt.Yes = False,
    device: opt.Device = _D.device,
    precision: opt.Precision = _D.precision,
    guidance: opt.Guidance = _D.guidance,
    temperature: opt.Temperature = _D.temperature,
    top_k: opt.TopK = _D.top_k,
    top_p: opt.TopP = _D.top_p,
    quiet: opt.Quiet = False,
    json_lines: opt.Json = False,
    preview: opt.Preview = False,
    dry_run: opt.DryRun = False,
) -> None:
    """Keep a part of a picture and let a transformer imagine the rest.

    Kept pixels stay as they are, bit by bit. --gif, --mp4 and --webp film how the rest is drawn.

    vqclip complete photo.jpg --keep top -t ffhq

    vqclip complete photo.png --keep mask.png --prompt "a lake" --samples 8 -t sflckr

    vqclip complete photo.jpg --extend 256,0,256,0 -t faceshq

    vqclip complete photo.jpg --keep left --prompt "a red apple" --refine 50 --gif
    """
    completing(ctx.params, picture).run()


def completing(params: Mapping[str, Any], picture: str) -> DrawingSession:
    """Return what the options ask for of a picture.

    Raises:
        UsageError: a value that cannot be read, or a file that could not be written.
    """
    config = CompleteConfig(
        picture=picture,
        keep=params["keep"],
        extend=parse_extend(params["extend"]),
        refine=params["refine"],
        paste=not params["no_paste"],
        **settings(params),
    )
    session = session_of(config, params, f"{Path(picture).stem} completed")
    if (path := user_path(picture)).is_file():
        from vqclip.media.images import image_size

        size = session.terminal.size_within_memory(config.size, image_size(path))
        session.config = replace(config, size=size)
    return session
