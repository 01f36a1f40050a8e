"""``vqclip complete``: keep part of an image and generate the rest."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from vqclip.cli import options as opt
from vqclip.cli.commands.sample import sample_session, sample_settings
from vqclip.cli.options import TerminalOptions
from vqclip.cli.sessions import SampleSession
from vqclip.cli.shared_options import with_options_of
from vqclip.config import CompleteConfig, FileOptions
from vqclip.files.environment import user_path


@with_options_of(
    CompleteConfig,
    opt.conditions("class", "labels", "depth", "edges"),
    FileOptions,
    TerminalOptions,
    without=("frames", "checkpoint"),
)
def complete_command(
    ctx: typer.Context,
    picture: Annotated[
        str, typer.Argument(metavar="IMAGE", help="Path or URL of an image.", show_default=False)
    ],
    prompt: opt.RankPrompts = None,
    output: opt.PlainOutput = None,
) -> None:
    """Keep part of an image and let a transformer generate the rest.

    The kept pixels stay bit-identical. To record how the rest is generated, add --gif, --mp4 or
    --webp.

    vqclip complete photo.jpg --keep top -t ffhq

    vqclip complete photo.png --keep mask.png --prompt "a lake" --samples 8 -t sflckr

    vqclip complete photo.jpg --extend 256,0,256,0 -t faceshq

    vqclip complete photo.jpg --keep left --prompt "a red apple" --refine 50 --gif
    """
    completing(ctx.params, picture).run()


def completing(params: Mapping[str, Any], picture: str) -> SampleSession:
    """Return the session for the completion described by the options.

    Raises:
        UsageError: a value is invalid, or a file cannot be written.
    """
    config = CompleteConfig(picture=picture, **sample_settings(CompleteConfig, params))
    session = sample_session(config, params, f"{Path(picture).stem} completed")
    if (path := user_path(picture)).is_file():
        from vqclip.media.images import image_size

        size = session.terminal.size_within_memory(config.size, image_size(path))
        session.config = replace(config, size=size)
    return session
