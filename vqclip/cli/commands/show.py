"""``vqclip show``: the settings recorded in an image, video or checkpoint."""

from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import typer

from vqclip.errors import UsageError
from vqclip.files.formatting import as_json


def show_command(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="Image, video or checkpoint made by vqclip.", show_default=False
        ),
    ],
    json_lines: Annotated[
        bool, typer.Option("--json", help="Print the settings as one line of JSON.")
    ] = False,
) -> None:
    """Show the prompt, seed, settings and weight hashes recorded in an image or video.

    vqclip show apple.png

    vqclip show apple.png --json
    """
    from vqclip.runs.replay import read_settings

    settings = read_settings(file)
    if json_lines:
        typer.echo(as_json(settings, sort_keys=True))
        return
    for name, value in _lines(settings, file):
        typer.echo(f"{name:18} {value}")


def _lines(recorded: Mapping[str, Any], path: Path) -> Iterator[tuple[str, str]]:
    from vqclip.runs.replay import recorded_options

    values = dict(recorded.get("settings", {}))
    yield "prompt", str(recorded.get("prompt", ""))
    if "seed" in values:
        yield "seed", str(values.pop("seed"))
    values.pop("prompts", None)
    values |= recorded.get("parameters", {})
    options = recorded_options(recorded)
    for name, value in values.items():
        option = options.get(name)
        yield option.name if option else name.replace("_", "-"), _text(value)
    kinds = ("weights", "pictures")
    for name, digests in chain.from_iterable(recorded.get(kind, {}).items() for kind in kinds):
        for digest in [digests] if isinstance(digests, str) else digests:
            yield name, f"sha256 {digest}"
    others = {"prompt", "settings", "parameters", *kinds}
    for name, value in recorded.items():
        if name not in others:
            yield name.replace("_", "-"), _text(value)
    if command := _command(recorded, path):
        yield "again", command


def _text(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "-", True: "yes", False: "no"}[value]
    return value if isinstance(value, str) else as_json(value)


def _command(recorded: Mapping[str, Any], path: Path) -> str | None:
    from vqclip.runs.replay import recorded_command

    try:
        return recorded_command(recorded, path)
    except UsageError:
        return None
