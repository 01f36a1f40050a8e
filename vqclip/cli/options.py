"""Options that are not settings, and options generated from settings."""

import inspect
import typing
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import typer

from vqclip.cli.completion import completion_of
from vqclip.config import DEFAULT, FileOptions, shared
from vqclip.config.argv import parameter_of
from vqclip.config.sample import CONDITIONS
from vqclip.config.setting import (
    IMAGE,
    METHOD,
    MODELS,
    OUTPUT,
    TERMINAL,
    Option,
    options_of,
    setting,
)

Prompts = Annotated[
    list[str] | None,
    typer.Argument(
        help='Prompt, such as "a red apple" or "apple:1.5 | blurry:-0.5". Each part has '
        r"the form text:weight:stop. Write \: or \| for a literal colon or vertical bar.",
        metavar="PROMPT",
        show_default=False,
    ),
]
ImagePrompts = Annotated[
    list[str] | None,
    typer.Option(
        "--image-prompt",
        rich_help_panel=IMAGE,
        metavar="FILE:WEIGHT",
        help="Image to use as a prompt; may be repeated.",
    ),
]
NoisePrompts = Annotated[
    list[str] | None,
    typer.Option(
        "--noise-prompt",
        rich_help_panel=IMAGE,
        metavar="SEED:WEIGHT",
        help="Random direction in CLIP's embedding space to use as a prompt; may be repeated.",
    ),
]
Count = Annotated[
    int,
    typer.Option(
        "--count",
        "-c",
        rich_help_panel=IMAGE,
        help="Number of images to make, with consecutive seeds.",
    ),
]
DraftOnly = Annotated[
    bool,
    typer.Option(
        "--draft", rich_help_panel=IMAGE, help="Save the best draft without optimising it."
    ),
]
Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change a value in the config, such as data.seed=1; may be repeated.",
    ),
]
Preset = Annotated[
    str | None,
    typer.Option(
        *("--preset", "-p"),
        autocompletion=completion_of("--preset"),
        rich_help_panel=METHOD,
        help="Preset with another program's settings: a name from `vqclip list presets`.",
    ),
]
RankPrompts = Annotated[
    list[str] | None,
    typer.Option(
        "--prompt",
        rich_help_panel=IMAGE,
        metavar="TEXT",
        help="Prompt used to rank the samples and to guide a transformer trained on CLIP "
        "embeddings; may be repeated.",
    ),
]
PlainOutput = Annotated[
    str | None,
    typer.Option(
        *("--output", "-o"),
        rich_help_panel=OUTPUT,
        metavar="FILE",
        help="Image file to write (.png, .jpg or .webp). Default: an unused name.",
    ),
]
CodesOut = Annotated[
    Path | None,
    typer.Option(
        "--codes",
        rich_help_panel=OUTPUT,
        metavar="FILE",
        help="File to save the codes in (.npz), for `vqclip decode`.",
    ),
]
VideoOutput = Annotated[
    Path | None,
    typer.Option(
        *("--output", "-o"),
        rich_help_panel=OUTPUT,
        metavar="VIDEO",
        help="Video file to write (.mp4, .gif or .webp). Default: an unused name, ending in "
        ".mp4 unless you use --gif or --webp.",
    ),
]


@dataclass(frozen=True)
class TerminalOptions:
    """Options for terminal output, questions to the user and dry runs."""

    yes: bool = setting(
        False, "--yes", "-y", panel=MODELS, help="Download missing models without asking."
    )
    quiet: bool = setting(False, "--quiet", "-q", panel=TERMINAL, help="Print only the file names.")
    json_lines: bool = setting(False, "--json", panel=TERMINAL, help="Print results as JSON Lines.")
    preview: bool = setting(
        False, "--preview", panel=TERMINAL, help="Preview the image in the terminal."
    )
    dry_run: bool = setting(
        False,
        "--dry-run",
        panel=TERMINAL,
        help="List the files that the command would read and write, and estimate the time and "
        "memory that it would need. Nothing is written.",
    )


_BUILT_IN = "the built-in one"  # shown in help for the name "default"


def info(declared: Option, default: bool | str = True) -> Any:
    """Return a Typer option; if ``default`` is text, the help shows it as the default value."""
    return typer.Option(
        *declared.flags,
        help=declared.help,
        rich_help_panel=declared.panel,
        metavar=declared.metavar,
        autocompletion=completion_of(declared.flags[0]),
        show_default=default,
    )


_TERMINAL = options_of(TerminalOptions)
Yes = Annotated[bool, info(_TERMINAL["yes"])]
Quiet = Annotated[bool, info(_TERMINAL["quiet"])]
Json = Annotated[bool, info(_TERMINAL["json_lines"])]
DryRun = Annotated[bool, info(_TERMINAL["dry_run"])]
Overwrite = Annotated[bool, info(options_of(FileOptions)["overwrite"])]
Vqgan = Annotated[str, info(shared.VQGAN, _BUILT_IN)]
VqganConfig = Annotated[str | None, info(shared.VQGAN_CONFIG)]
TransformerConfig = Annotated[str | None, info(shared.TRANSFORMER_CONFIG)]
Device = Annotated[str, info(shared.DEVICE)]
VideoSize = Annotated[str | None, info(shared.VIDEO_SIZE)]


@cache
def parameters_of(kind: type) -> Mapping[str, inspect.Parameter]:
    """Return command parameters for those fields of a dataclass that have an option."""
    hints, options = typing.get_type_hints(kind), options_of(kind)
    return {
        f.name: _parameter(f.name, hints[f.name], f.default, options[f.name])
        for f in fields(kind)
        if f.name in options
    }


def conditions(*kinds: str) -> dict[str, inspect.Parameter]:
    """Return command parameters for the given kinds of conditions."""
    each = {parameter_of(kind): CONDITIONS[kind] for kind in kinds}
    return {name: _parameter(name, str, None, one) for name, one in each.items()}


def _parameter(name: str, hint: Any, default: Any, declared: Option) -> inspect.Parameter:
    """Return a keyword parameter that Typer reads as an option."""
    written = None if declared.left_open else declared.write(default)
    if declared.spelling is not None:
        hint = list[str] if declared.spelling.many else str
    if written is None:
        hint = hint | None
    shown = _BUILT_IN if written in (DEFAULT, [DEFAULT]) else True
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=written,
        annotation=Annotated[hint, info(declared, shown)],
    )
