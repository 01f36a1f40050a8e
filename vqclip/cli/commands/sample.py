"""``vqclip sample``: images from a transformer alone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from vqclip.cli import options as opt
from vqclip.cli.options import TerminalOptions
from vqclip.cli.sessions import SampleSession
from vqclip.cli.shared_options import with_options_of
from vqclip.cli.terminal import terminal_of
from vqclip.config import DEFAULT, FileOptions, SampleConfig
from vqclip.config.argv import parameter_of
from vqclip.config.checks import new_seed
from vqclip.config.prompts import parse_all
from vqclip.config.sample import CONDITIONS
from vqclip.config.setting import read_options
from vqclip.errors import UsageError
from vqclip.files.embedded import has_transformer
from vqclip.files.environment import file_path


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
    """Sample images from a transformer, optionally conditioned on a class, map or small image.

    Each transformer accepts one kind of condition. To record the sampling, add --gif, --mp4 or
    --webp.

    vqclip sample -t cin --class goldfish --samples 4

    vqclip sample -t sflckr --labels map.png --size 512x288

    vqclip sample --prompt "a red apple" --samples 8 --gif

    vqclip sample -t ffhq --prompt "a smiling face" --samples 8
    """
    sampling(ctx.params).run()


def sampling(params: Mapping[str, Any]) -> SampleSession:
    """Return the session for the samples described by the options.

    Raises:
        UsageError: a value is invalid, or a file cannot be written.
    """
    config = SampleConfig(**sample_settings(SampleConfig, params))
    return sample_session(config, params, _stem(config))


def sample_settings(kind: type[SampleConfig], params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings for a config of class ``kind``, read from a command's options.

    Raises:
        UsageError: a value is invalid or no transformer is given.
    """
    transformer = params["transformer"]
    if transformer is None and not has_transformer():
        raise UsageError("there is no built-in transformer: choose one with --transformer PATH")
    values = {one: params.get(parameter_of(one)) for one in CONDITIONS}
    return {
        **read_options(kind, params),
        "transformer": DEFAULT if transformer is None else transformer,
        "conditions": tuple((one, value) for one, value in values.items() if value is not None),
        "seed": new_seed() if params["seed"] is None else params["seed"],
        "prompts": parse_all(params["prompt"] or ()),
    }


def sample_session(config: SampleConfig, params: Mapping[str, Any], stem: str) -> SampleSession:
    """Return the session for ``config``, with the files requested by the options.

    stem: default file name, without suffix.

    Raises:
        UsageError: a file cannot be written.
    """
    from vqclip.runs.naming import name_images, slug
    from vqclip.runs.outputs import check_outputs

    asked = FileOptions(**read_options(FileOptions, params))
    path = file_path(asked.output or f"{slug(stem)}-{config.seed}.png")
    outputs = name_images(asked, [path] * config.samples, range(1, config.samples + 1))
    for output in outputs:
        check_outputs(output, 0)
    return SampleSession(config, outputs, terminal_of(params), dry_run=params["dry_run"])


def _stem(config: SampleConfig) -> str:
    for kind, value in config.conditions:
        return value if kind == "class" else f"{Path(value).stem} sample"
    return "sample"
