"""``vqclip list``: names that options accept."""

from collections.abc import Mapping
from typing import Annotated

import typer

from vqclip.cli.completion import completion_of
from vqclip.cli.listings import LISTINGS
from vqclip.config import GenerateConfig
from vqclip.config.setting import options_of
from vqclip.errors import UsageError

_WIDTH = 18  # minimum width of the names


def list_command(
    kind: Annotated[
        str | None,
        typer.Argument(
            help="What to list: presets, cut-methods, augmentations, optimizers, losses, inits, "
            "styles, classes (of ImageNet), or the labels of a data set (coco-stuff, ade20k or "
            "s-flckr).",
            show_default=False,
            autocompletion=completion_of("LIST"),
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Argument(
            help="Show the settings of this preset.",
            show_default=False,
            autocompletion=completion_of("--preset"),
        ),
    ] = None,
) -> None:
    """List the names that an option accepts, with a short description of each.

    vqclip list augmentations

    vqclip list presets pixray
    """
    if kind is None:
        raise UsageError(f"choose what to list: {', '.join(LISTINGS)}")
    names = LISTINGS[kind]() if preset is None else _settings_of(kind, preset)
    width = max(_WIDTH, *map(len, names))
    for name, about in names.items():
        typer.echo(f"{name:{width}} {about}".rstrip())


def _settings_of(kind: str, preset: str) -> Mapping[str, str]:
    from vqclip.config.presets import PRESETS

    if kind != "presets":
        raise UsageError(f"{preset!r} cannot be listed: only presets have settings to list")
    options, values = options_of(GenerateConfig), PRESETS[preset]
    return {options[name].flags[0]: str(options[name].write(values[name])) for name in values}
