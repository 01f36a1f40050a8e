"""``vqclip encode``: codes and embeddings for a transformer's training samples."""

from pathlib import Path
from typing import Annotated

import typer

from vqclip.cli import dry_run as forecasts
from vqclip.cli import options as opt
from vqclip.cli.group import INTERRUPTED
from vqclip.cli.options import TerminalOptions
from vqclip.cli.shared_options import with_options_of
from vqclip.cli.terminal import terminal_of
from vqclip.config import CodesConfig


@with_options_of(
    CodesConfig,
    TerminalOptions,
    without=("size", "fit", "vqgan", "vqgan_config", "yes", "preview"),
)
def encode_command(
    ctx: typer.Context,
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="Training config (YAML).")],
    changes: opt.Changes = None,
) -> None:
    """Encode a transformer's training samples and save the results in `data.encode.folder`.

    Training then does not have to compute codes and embeddings at every step. If the command
    is interrupted, run it again to continue.
    """
    from vqclip.training.settings import read_training_settings

    settings = read_training_settings("transformer", config, changes or ())
    terminal = terminal_of(ctx.params)
    with terminal.loading():
        import torch

        from vqclip.models.runtime import resolve_device
        from vqclip.training.transformer.encoding import DatasetEncoder

        place = torch.device(resolve_device(ctx.params["device"]))
        if ctx.params["dry_run"]:
            from vqclip.diagnostics.forecast import of_encoding

            forecasts.show_forecast(terminal, of_encoding(settings, place))
            return
        encoder = DatasetEncoder(settings, place)
    folder, done, total = Path(encoder.config.folder), 0, encoder.total
    with terminal.progress("encoding", total, "sample") as progress:
        try:
            for done in encoder.run():
                progress.update(done)
        except KeyboardInterrupt:
            terminal.note(
                f"interrupted after {done} of {total} samples; run the same command again to "
                "continue"
            )
            raise typer.Exit(INTERRUPTED) from None
    terminal.report([folder], f"{done} samples", {"samples": done})
