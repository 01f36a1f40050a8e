"""The ``vqclip`` command."""

import signal
from typing import Annotated

import typer

from vqclip import __version__
from vqclip.cli.commands.again import again_command
from vqclip.cli.commands.animate import animate_command
from vqclip.cli.commands.batch import batch_command
from vqclip.cli.commands.codes import decode_command, reconstruct_command
from vqclip.cli.commands.complete import complete_command
from vqclip.cli.commands.doctor import doctor_command
from vqclip.cli.commands.encode import encode_command
from vqclip.cli.commands.evaluate import evaluate_app
from vqclip.cli.commands.export import export_command
from vqclip.cli.commands.generate import generate_command
from vqclip.cli.commands.list import list_command
from vqclip.cli.commands.restyle import restyle_command
from vqclip.cli.commands.resume import resume_command
from vqclip.cli.commands.sample import sample_command
from vqclip.cli.commands.show import show_command
from vqclip.cli.commands.story import story_command
from vqclip.cli.commands.train import train_command
from vqclip.cli.commands.weights import weights_app
from vqclip.cli.group import DEFAULT_COMMAND, PromptGroup
from vqclip.cli.workers import RayCommand

HELP = """
Text to image with VQGAN+CLIP. [bold]vqclip "a red apple"[/bold] generates an image offline.

Examples:

  vqclip "a red apple"

  vqclip "a castle:1.5 | blurry:-0.5" --size 256x192 --seed 7 -o castle.png

  vqclip "an oil painting" --init photo.jpg --init-weight 0.5 --mp4

  vqclip "a fox" --vqgan imagenet-f16-16384 --clip ViT-B-32/laion2b_s34b_b79k

  vqclip complete photo.jpg --keep top --transformer ffhq

  vqclip weights list

  vqclip list presets

  vqclip doctor
"""

app = typer.Typer(
    cls=PromptGroup,
    name="vqclip",
    help=HELP,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"vqclip {__version__}")
        raise typer.Exit


@app.callback()
def app_callback(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Options of vqclip itself."""


app.command(DEFAULT_COMMAND)(generate_command)
app.command("complete")(complete_command)
app.command("sample")(sample_command)
app.command("story")(story_command)
app.command("batch", cls=RayCommand)(batch_command)
app.command("again")(again_command)
app.command("show")(show_command)
app.command("resume", cls=RayCommand)(resume_command)
app.command("restyle")(restyle_command)
app.command("animate")(animate_command)
app.command("reconstruct")(reconstruct_command)
app.command("decode")(decode_command)
app.command("encode")(encode_command)
app.command("train")(train_command)
app.add_typer(evaluate_app, name="evaluate")
app.add_typer(weights_app, name="weights")
app.command("export")(export_command)
app.command("list")(list_command)
app.command("doctor")(doctor_command)


def main() -> None:
    """Run the command line."""
    _end_like_ctrl_c()
    app()


def _end_like_ctrl_c() -> None:
    """Handle a closed terminal or a scheduler's stop signal like Ctrl-C, which keeps results."""
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) == signal.SIG_DFL:  # not under nohup
            signal.signal(number, signal.default_int_handler)
