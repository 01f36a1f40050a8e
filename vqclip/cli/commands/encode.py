"""``vqclip encode config.yaml``: the samples of a transformer's training as codes, beforehand."""

from pathlib import Path
from typing import Annotated, Any

import typer

from vqclip.cli import dry_run as forecasts
from vqclip.cli import options as opt
from vqclip.cli.group import INTERRUPTED
from vqclip.cli.terminal import Terminal
from vqclip.training.settings import read_training_settings


def encode_command(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="The training's YAML.")],
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change the config: data.encode.samples=9."
        ),
    ] = None,
    device: opt.Device = "auto",
    quiet: opt.Quiet = False,
    json_lines: opt.Json = False,
    dry_run: opt.DryRun = False,
) -> None:
    """Encode the samples of a transformer's training, as `data.encode` in its config says.

    Pictures become codes, pictures and captions embeddings, each once and not at every step.
    Interrupted, it goes on where it was.
    """
    settings = read_training_settings("transformer", config, changes or ())
    terminal = Terminal(quiet=quiet, json_lines=json_lines)
    with terminal.loading():
        import torch

        from vqclip.models.runtime import resolve_device
        from vqclip.training.transformer.encoding import DatasetEncoder

        place = torch.device(resolve_device(device))
        if dry_run:
            from vqclip.diagnostics.forecast.training import of_encoding

            forecasts.tell(terminal, of_encoding(settings, place))
            return
        encoder = DatasetEncoder(settings, place)
    folder, done, total = Path(encoder.config.folder), 0, encoder.total
    with terminal.progress("encoding", total, "sample") as progress:
        try:
            for done in encoder.run():
                progress.update(done, _no_picture)
        except KeyboardInterrupt:
            terminal.note(f"interrupted after {done} of {total} samples; the same command goes on")
            raise typer.Exit(INTERRUPTED) from None
    terminal.report([folder], f"{done} samples", {"samples": done})


def _no_picture() -> Any:
    raise NotImplementedError  # asked for with --preview only, which encoding has not
