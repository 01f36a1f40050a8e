"""``vqclip sample --class goldfish``: pictures from a transformer alone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from vqclip.cli import options as opt
from vqclip.cli.drawing import DrawingSession, drawing_of, settings
from vqclip.cli.options import TerminalOptions
from vqclip.cli.shared_options import with_options_of
from vqclip.config import FileOptions, SampleConfig
from vqclip.config.sample import CONDITIONS


@with_options_of(
    opt.conditions(*CONDITIONS),
    SampleConfig,
    FileOptions,
    TerminalOptions,
    without=("frames", "checkpoint"),
)
def sample_command(
    ctx: typer.Context, prompt: opt.RankPrompts = None, output: opt.PlainOutput = None
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
    config = SampleConfig(**settings(SampleConfig, params))
    return drawing_of(config, params, _stem(config))


def _stem(config: SampleConfig) -> str:
    for kind, value in config.conditions:
        return value if kind == "class" else f"{Path(value).stem} sample"
    return "sample"
