"""``vqclip export``: checkpoints for taming-transformers."""

from pathlib import Path
from typing import Annotated

import typer

from vqclip.cli import options as opt
from vqclip.cli.terminal import Terminal
from vqclip.errors import UsageError


def export_command(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="Model to export: a name, a checkpoint, or a folder that contains one.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Argument(
            metavar="OUT.ckpt",
            help="Checkpoint to write. The config is saved beside the checkpoint as a .yaml file.",
        ),
    ],
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="Config file for the model. Default: the YAML file beside the weights.",
        ),
    ] = None,
    overwrite: opt.Overwrite = False,
    quiet: opt.Quiet = False,
    json_lines: opt.Json = False,
) -> None:
    """Export a VQGAN or transformer for taming-transformers.

    vqclip export runs/vqgan/best vqgan.ckpt
    """
    if output.suffix != ".ckpt":
        raise UsageError(f"cannot write {output.name!r}: the name must end in .ckpt")
    terminal = Terminal(quiet=quiet, json_lines=json_lines)
    with terminal.loading():
        from vqclip.hub.export import export_checkpoint

        files = export_checkpoint(model, output, config, overwrite=overwrite)
    terminal.report(files, "for taming-transformers", {})
