"""``vqclip weights verify``, ``remove`` and ``path``."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vqclip.cli import options as opt
from vqclip.cli.commands.weights.show import Json, items_of, model_argument
from vqclip.cli.downloading import is_interactive
from vqclip.cli.terminal import Terminal
from vqclip.errors import UsageError, VqclipError

if TYPE_CHECKING:
    from vqclip.hub.store import StoredModel


def verify_command(
    names: Annotated[
        list[str] | None, model_argument("Names of models. Default: all downloaded models.")
    ] = None,
    quiet: opt.Quiet = False,
    json_lines: Json = False,
) -> None:
    """Check model files against their recorded hashes.

    The exit status is 1 if a file has changed or is missing.

    vqclip weights verify
    """
    from vqclip.hub import store

    terminal = Terminal(quiet=quiet, json_lines=json_lines)
    models = [_kept(name) for name in names] if names else store.models()
    problems = [_verify(model, terminal) for model in models]
    if not models:
        terminal.note(
            "there are no downloaded models yet: download one with vqclip weights get NAME"
        )
    if any(problems):
        raise typer.Exit(1)


def _verify(model: "StoredModel", terminal: Terminal) -> bool:
    """Report a model's state; return whether its files have changed."""
    from vqclip.hub import store

    problem = None
    with terminal.console.status(f"reading {model.name}"):
        try:
            if not model.record:
                store.find(model.name)  # raises an error with the reason
            store.check(model)
        except VqclipError as error:
            problem = str(error)
    if terminal.json_lines:
        typer.echo(json.dumps({"name": model.name, "ok": problem is None, "problem": problem}))
    elif problem or not terminal.quiet:
        typer.echo(f"{model.name}  {problem or 'ok'}")
    return problem is not None


def _kept(name: str) -> "StoredModel":
    from vqclip.hub import store

    item = items_of(name)[0]
    if item.model is None:
        raise UsageError(f"{name} is {item.state}: there is nothing to verify")
    found = store.find(name)
    assert found is not None
    return found


def remove_command(
    names: Annotated[list[str], model_argument("Names of models to remove.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Delete without asking.")] = False,
    quiet: opt.Quiet = False,
) -> None:
    """Delete models and their unfinished downloads. The built-in models cannot be removed.

    vqclip weights remove coco ffhq
    """
    from vqclip.files.formatting import readable
    from vqclip.hub import store

    terminal = Terminal(quiet=quiet, yes=yes)
    folders = [folder for name in names for folder in _folders(name)]
    size = sum(p.stat().st_size for folder in folders for p in folder.rglob("*") if p.is_file())
    if not yes:
        _ask(f"Delete {', '.join(names)} ({readable(size)})?")
    for name in names:
        with store.holding(name, lambda process: terminal.note(f"waiting for process {process}")):
            for folder in _folders(name):
                store.discard(folder)
    if not quiet:
        typer.echo(f"removed {', '.join(names)}  ({readable(size)})")


def _folders(name: str) -> list[Path]:
    from vqclip.hub import store
    from vqclip.hub.catalogue.entries import check_model_name
    from vqclip.hub.listing import EMBEDDED

    items_of(name)  # raises for an unknown name
    places = (store.models_folder(), store.downloads_folder())
    found = [place / check_model_name(name) for place in places if (place / name).is_dir()]
    if not found and any(item.state == EMBEDDED for item in items_of(name)):
        raise UsageError(f"{name} is part of vqclip and cannot be removed")
    if not found:
        raise UsageError(f"{name} is not on this computer: there is nothing to remove")
    return found


def _ask(question: str) -> None:
    if not is_interactive():
        raise UsageError(f"{question} There is no terminal to ask in: add --yes")
    if not typer.confirm(question, err=True):
        raise UsageError("nothing was removed")


def path_command(
    name: Annotated[
        str | None,
        model_argument("Name of a model. Default: print the folder that contains all models."),
    ] = None,
) -> None:
    """Print the folder that contains a model, or the folder that contains all models.

    ls $(vqclip weights path imagenet-f16-16384)
    """
    from vqclip.hub import store

    if name is None:
        typer.echo(store.models_folder())
        return
    item = items_of(name)[0]
    if item.folder is None:
        raise UsageError(
            f"{name} is not on this computer; download it with: vqclip weights get {name}"
        )
    typer.echo(item.folder)
