"""``vqclip weights``: managing models by name."""

import typer

from vqclip.cli.commands.export import export_command
from vqclip.cli.commands.weights.keep import path_command, remove_command, verify_command
from vqclip.cli.commands.weights.show import info_command, list_models_command
from vqclip.cli.commands.weights.supply import get_command, import_command
from vqclip.errors import UsageError

HELP = """
List, download, import, export and remove models.

vqclip weights list

vqclip weights get imagenet-f16-16384

vqclip "a fox" --vqgan imagenet-f16-16384

vqclip weights import last.ckpt --config project.yaml --name mine

Models are stored in VQCLIP_HOME (default: the platform's data folder; see vqclip weights path).
"""

weights_app = typer.Typer(help=HELP, add_completion=False)


@weights_app.callback(invoke_without_command=True)
def weights_callback(ctx: typer.Context) -> None:
    """Models by name."""
    if ctx.invoked_subcommand is None:
        known = ", ".join(command.name or "" for command in weights_app.registered_commands)
        raise UsageError(f"choose a command: {known}")


weights_app.command("list")(list_models_command)
weights_app.command("info")(info_command)
weights_app.command("get")(get_command)
weights_app.command("verify")(verify_command)
weights_app.command("import")(import_command)
weights_app.command("export")(export_command)
weights_app.command("remove")(remove_command)
weights_app.command("path")(path_command)
