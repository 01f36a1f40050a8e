"""``vqclip sample --class goldfish``: pictures from a transformer alone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from vqclip.cli import options as opt
from vqclip.cli.drawing import DrawingSession, session_of, settings
from vqclip.config import OutputConfig, SampleConfig

_D = SampleConfig
_CLIP = [name for name, _ in _D.clip]


def sample_command(
    ctx: typer.Context,
    class_name: opt.ClassName = None,
    labels: opt.LabelMap = None,
    label: opt.Relabel = None,
    depth: opt.DepthMap = None,
    edges: opt.Edges = None,
    upscale: opt.Upscale = None,
    size: opt.Size = None,
    samples: opt.Samples = _D.samples,
    prompt: opt.RankPrompts = None,
    seed: opt.Seed = None,
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
    """Draw pictures with a transformer: of nothing, a class, a map, a small picture.

    What it draws from is the transformer's kind. --gif, --mp4 and --webp film the drawing.

    vqclip sample -t cin --class goldfish --samples 4

    vqclip sample -t sflckr --labels map.png --size 512x288

    vqclip sample --prompt "a red apple" --samples 8 --gif

    vqclip sample -t ffhq --prompt "a smiling face" --samples 8
    """
    sampling(ctx.params).run()


def sampling(params: Mapping[str, Any]) -> DrawingSession:
    """Return what the options ask for.

    Raises:
        UsageError: a value that cannot be read, or a file that could not be written.
    """
    config = SampleConfig(**settings(params))
    return session_of(config, params, _stem(config))


def _stem(config: SampleConfig) -> str:
    for kind, value in config.conditions:
        return value if kind == "class" else f"{Path(value).stem} sample"
    return "sample"
