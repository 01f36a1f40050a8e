"""The ``vqclip`` command."""

import gc
import signal
from typing import Annotated

import typer

from vqclip.cli.commands.generate import generate_command
from vqclip.cli.group import DEFAULT_COMMAND, PromptGroup
from vqclip.cli.lazy import LazyCommand
from vqclip.cli.workers import RayCommand
from vqclip.files.version import __version__

HELP = """
Text to image with VQGAN+CLIP. [bold]vqclip "a red apple"[/bold] generates an image offline.

Examples:

  vqclip "a red apple"

  vqclip "a castle:1.5 | blurry:-0.5" --size 256x192 --seed 7 -o castle.png

  vqclip "a castle at night" --init photo.jpg --init-weight 0.5 --mp4

  vqclip "a fox" --vqgan imagenet-f16-16384 --clip ViT-B-32/laion2b_s34b_b79k

  vqclip complete photo.jpg --keep top --transformer ffhq

  vqclip weights list

  vqclip list presets

  vqclip doctor
"""

COMMANDS = {
    "complete": LazyCommand(
        "complete:complete_command",
        "Keep part of an image and let a transformer generate the rest.",
    ),
    "sample": LazyCommand(
        "sample:sample_command",
        "Sample images from a transformer, optionally conditioned on a class, map or small image.",
    ),
    "story": LazyCommand("story:story_command", "Make a video that moves from scene to scene."),
    "batch": LazyCommand(
        "batch:batch_command",
        "Generate an image for every prompt in a list. To resume a batch, run the command again.",
        RayCommand,
    ),
    "again": LazyCommand(
        "again:again_command",
        "Generate an image again from its recorded settings, with or without changes.",
    ),
    "show": LazyCommand(
        "show:show_command",
        "Show the prompt, seed, settings and weight hashes recorded in an image or video.",
    ),
    "resume": LazyCommand(
        "resume:resume_command",
        "Resume a batch, a video, or an image started with --checkpoint.",
        RayCommand,
    ),
    "restyle": LazyCommand(
        "restyle:restyle_command",
        "Restyle a video and keep its audio. To resume, run the same command again.",
    ),
    "animate": LazyCommand(
        "animate:animate_command", "Make a video from the images in a folder, in numerical order."
    ),
    "reconstruct": LazyCommand(
        "codes:reconstruct_command",
        "Encode, quantize and decode an image, and report the reconstruction error.",
    ),
    "decode": LazyCommand(
        "codes:decode_command",
        "Decode codes saved with --codes or --save-codes, using the VQGAN that made them.",
    ),
    "encode": LazyCommand(
        "encode:encode_command",
        "Encode a transformer's training samples and save the results in `data.encode.folder`.",
    ),
    "train": LazyCommand(
        "train:train_command", "Train a VQGAN, a transformer over its codes, or a CLIP model."
    ),
    "export": LazyCommand(
        "export:export_command", "Export a VQGAN or transformer for taming-transformers."
    ),
    "list": LazyCommand(
        "list:list_command",
        "List the names that an option accepts, with a short description of each.",
    ),
    "doctor": LazyCommand("doctor:doctor_command", "Check the installation and suggest fixes."),
    "evaluate": LazyCommand(
        "evaluate:evaluate_app",
        "Evaluate models on held-out images, or score images against their prompts.",
    ),
    "weights": LazyCommand(
        "weights:weights_app", "List, download, import, export and remove models."
    ),
}


class Commands(PromptGroup):
    """All commands of vqclip."""

    further = COMMANDS


app = typer.Typer(
    cls=Commands,
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
    """Declare the options of ``vqclip`` itself."""


app.command(DEFAULT_COMMAND)(generate_command)


def main() -> None:
    """Run the command line."""
    gc.freeze()  # collecting the imported objects would take a tenth of --help's time
    _end_like_ctrl_c()
    app()


def _end_like_ctrl_c() -> None:
    """Treat a closed terminal or a scheduler's stop signal like Ctrl-C, so results are kept."""
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) == signal.SIG_DFL:  # not under nohup
            signal.signal(number, signal.default_int_handler)
