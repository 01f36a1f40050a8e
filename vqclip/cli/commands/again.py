"""``vqclip again``: regenerating an image from its recorded settings."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from vqclip.cli.commands.complete import complete_command, completing
from vqclip.cli.commands.generate import (
    explicit_options,
    generate_command,
    session_of,
)
from vqclip.cli.commands.sample import sample_command, sampling
from vqclip.cli.sessions import Session
from vqclip.cli.shared_options import with_options_of
from vqclip.config import CompleteConfig, GenerateConfig, SampleConfig
from vqclip.config.argv import parameter_of, params_of
from vqclip.config.checks import at_least
from vqclip.config.sample import CONDITIONS
from vqclip.config.setting import IMAGE, METHOD
from vqclip.errors import UsageError
from vqclip.hub.run_defaults import reopened
from vqclip.registry import load_functions

_COMMANDS: Mapping[type, tuple[str, Callable[..., None]]] = {
    GenerateConfig: ("generate", generate_command),
    SampleConfig: ("sample", sample_command),
    CompleteConfig: ("complete", complete_command),
}


# When one of these changes, the settings that depend on it are chosen again.
_DECIDE_THE_START = {"init", "draft", "vqgan", "vqgan_config", "transformer"}
_NAME_PICTURES = {"init", "image_prompt", "keep", *map(parameter_of, CONDITIONS)}


@with_options_of(generate_command, sample_command, complete_command, without=("prompt", "samples"))
def again_command(
    ctx: typer.Context,
    picture: Annotated[
        Path, typer.Argument(metavar="IMAGE", help="Image made by vqclip.", show_default=False)
    ],
    prompts: Annotated[
        list[str] | None,
        typer.Argument(
            help="Prompts to use instead of the recorded ones.",
            metavar="PROMPT",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[
        str | None,
        typer.Option(
            "--seed",
            help="Random seed, such as 7, or a change to the recorded one, such as +1 or -1. "
            "Default: the recorded seed.",
            rich_help_panel=IMAGE,
        ),
    ] = None,
    count: Annotated[
        int,
        typer.Option(
            *("--count", "--samples", "-c"),
            help="Number of images to make, with consecutive seeds.",
            rich_help_panel=IMAGE,
        ),
    ] = 1,
    python: Annotated[
        Path | None,
        typer.Option(
            "--python",
            metavar="FILE",
            help="Python file that defines the losses, augmentations or optimizer recorded in "
            "the image; vqclip runs this file.",
            rich_help_panel=METHOD,
        ),
    ] = None,
) -> None:
    """Generate an image again from its recorded settings, with or without changes.

    You can use any option of the command that made the image: generate, sample or complete.

    vqclip again apple.png

    vqclip again apple.png --seed +1 --steps 200

    vqclip again apple.png "a green apple" -o green.png
    """
    from vqclip.runs.replay import check_pictures, read_settings, recorded_config

    if prompts and (further := [text for text in prompts if Path(text).is_file()]):
        raise UsageError(
            f"{further[0]} is a file, not a prompt; vqclip again takes one image at a time"
        )
    if python is not None:
        load_functions(python)
    recorded = read_settings(picture)
    config = recorded_config(recorded, picture)
    written = explicit_options(ctx) - {"picture", "python"}
    _check_options(ctx, written, config)
    at_least("count", count, 1)
    if isinstance(config, GenerateConfig) and written & _DECIDE_THE_START:
        config = reopened(config)
    if not written & _NAME_PICTURES:
        check_pictures(recorded.get("pictures", {}), config, picture)
    params = {**ctx.params, "prompt": prompts, "samples": count}
    params |= {**_kept(config, params, written), "seed": _seed(seed, config.seed)}
    session = _session_of(config, params, written)
    # an option may choose weights other than the recorded ones
    weights = recorded.get("weights", {}).items()
    session.expected = {kind: digest for kind, digest in weights if kind not in written}
    for note in _notes(recorded, picture, written):
        session.terminal.note(note)
    session.run()


def _notes(recorded: Mapping[str, Any], picture: Path, written: set[str]) -> Iterator[str]:
    """Yield notes on how the new image will differ from ``picture`` beyond the given options."""
    if foreign := recorded.get("parameters"):
        left = [name for name in foreign if name not in ("Seed", "Size", "Negative prompt")]
        yield (
            f"{picture} was made by another program: vqclip uses its prompt, seed and size, but "
            f"not {', '.join(left)}"
        )
    if before := recorded.get("continued_from"):
        yield (
            f"{picture} continues a run with other settings from step {before['step']}; the "
            "new image uses the final settings from the start"
        )
    if "interrupted_at" in recorded and "steps" not in written:
        yield (
            f"{picture} was interrupted after {recorded['interrupted_at']} of its steps or codes; "
            "the new image uses all of them"
        )
    if "step" in recorded and "steps" not in written:
        yield (
            f"{picture} is the frame after {recorded['step']} steps; the new image uses all steps"
        )


def _session_of(
    config: GenerateConfig | SampleConfig, params: Mapping[str, Any], written: set[str]
) -> Session:
    if isinstance(config, CompleteConfig):
        return completing(params, config.picture)
    if isinstance(config, SampleConfig):
        return sampling(params)
    return session_of(params, written)


def _check_options(
    ctx: typer.Context, written: set[str], config: GenerateConfig | SampleConfig
) -> None:
    """Raise UsageError for options that the command for ``config`` does not accept."""
    name, command = _COMMANDS[type(config)]
    taken = {*inspect.signature(command).parameters, "prompts", "count"}
    for parameter in ctx.command.params:
        if parameter.name in written - taken:
            raise UsageError(
                f"the image was made with vqclip {name}, which does not accept {parameter.opts[0]}"
            )


def _kept(
    config: GenerateConfig | SampleConfig, params: Mapping[str, Any], written: set[str]
) -> dict[str, Any]:
    """Return the options in ``config`` that no given option replaces."""
    if "prompts" in written:
        written = written | {"prompt"}
    old = {**params_of(config), "samples": params["samples"]}
    return {name: value for name, value in old.items() if name in params and name not in written}


def _seed(text: str | None, seed: int) -> int:
    """Parse ``7``, ``+1`` or ``-1``, the last two relative to ``seed``."""
    try:
        number = int(text or "+0")
    except ValueError:
        raise UsageError(
            f"cannot read the seed {text!r}: write a number such as 7, or a change such as +1 or -1"
        ) from None
    return seed + number if text is None or text.strip()[0] in "+-" else number
