"""``vqclip weights list`` and ``info``."""

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from vqclip.cli.completion import completion_of
from vqclip.files.formatting import as_json

if TYPE_CHECKING:
    from vqclip.hub.listing import Item

Json = Annotated[bool, typer.Option("--json", help="Print each model as a line of JSON.")]


def model_argument(help: str) -> Any:
    """Return an argument for model names."""
    return typer.Argument(metavar="NAME", autocompletion=completion_of("MODEL"), help=help)


Name = Annotated[str, model_argument("Name of a model from `vqclip weights list`.")]


def list_models_command(
    clip: Annotated[
        bool, typer.Option("--clip", help="List open_clip's pretrained models.")
    ] = False,
    json_lines: Json = False,
) -> None:
    """List all models and show which ones are on this computer.

    vqclip weights list

    vqclip weights list --clip

    vqclip weights list --json
    """
    if clip:
        _list_clips(json_lines)
        return
    from vqclip.files.formatting import readable
    from vqclip.hub.listing import list_models

    items = list_models()
    if json_lines:
        for item in items:
            typer.echo(as_json(item.to_dict()))
        return
    for item in items:
        size = readable(item.size) if item.size else "unknown"
        columns = f"{item.name:22} {item.kind:12} {item.state:11} {size:>9}  {item.about}"
        typer.echo(columns.rstrip())
    _hint("to download a model: vqclip weights get NAME; for details: vqclip weights info NAME")


def _hint(text: str) -> None:
    Console(stderr=True, highlight=False, style="dim").print(text, soft_wrap=True)


def _list_clips(json_lines: bool) -> None:
    for values in _clips():
        if json_lines:
            typer.echo(json.dumps(values))
        else:
            typer.echo(f"{values['name']:56} {values['state']}")
    if not json_lines:
        _hint(
            'to download a model: vqclip weights get NAME; to use it: "…" --clip NAME; '
            "hf-hub:org/name selects any other model on the Hugging Face Hub"
        )


def _clips() -> Iterator[dict[str, Any]]:
    from vqclip.hub.clip_hub import cached_repositories, pretrained_names, repository

    cached = cached_repositories()
    for name in pretrained_names():
        found = repository(name)
        state = "downloaded" if found and found[0] in cached else "missing"
        yield {"name": name, "kind": "clip", "state": state, "repository": found and found[0]}


def info_command(name: Name, json_lines: Json = False) -> None:
    """Show a model's description, licence and source, and how to use it.

    vqclip weights info gumbel-f8

    vqclip weights info ViT-B-32/laion2b_s34b_b79k
    """
    if is_clip(name):
        _clip_info(name, json_lines)
        return
    for item in items_of(name):
        if json_lines:
            typer.echo(as_json(item.to_dict()))
        else:
            for key, value in _lines(item):
                typer.echo(f"{key:10} {value}")


def is_clip(name: str) -> bool:
    """Return whether a name refers to an open_clip model or one on the Hugging Face Hub."""
    return "/" in name or name.startswith("hf-hub:")


def items_of(name: str) -> "list[Item]":
    """Return the model with this name or, for ``default``, all built-in models.

    Raises:
        UsageError: there is no such model.
    """
    from vqclip.hub.listing import list_models
    from vqclip.registry import unknown

    known = list_models()
    if found := [item for item in known if item.name == name]:
        return found
    raise unknown("model", name, {item.name for item in known})


def _clip_info(name: str, json_lines: bool) -> None:
    from vqclip.files.formatting import readable
    from vqclip.hub.clip_hub import repository
    from vqclip.hub.requirements import missing_clip

    absent = missing_clip(name)
    found = repository(name)
    state = "missing" if absent else "downloaded"
    size = absent.size if absent else None
    where = found[0] if found else None
    if json_lines:
        values = {"name": name, "kind": "clip", "state": state, "size": size, "repository": where}
        typer.echo(json.dumps(values))
        return
    typer.echo(f"name       {name}\nkind       clip\nstate      {state}")
    if where:
        typer.echo(f"source     https://huggingface.co/{where} (states the licence)")
    if absent:
        typer.echo(f"size       {readable(size) if size else 'unknown'}")
        typer.echo(f"download   vqclip weights get {name}")
    typer.echo(f'use        vqclip "a fox" --clip {name}')


def _lines(item: "Item") -> Iterator[tuple[str, str]]:
    from vqclip.files.formatting import readable

    values = item.to_dict()
    for key in ("name", "kind", "class", "about", "state"):
        if values[key]:
            yield key, str(values[key])
    if item.size:
        where = "to download" if item.state == "missing" else "on this computer"
        yield "size", f"{readable(item.size)} ({where})"
    if item.licence:
        yield "licence", item.licence
    if item.results:
        yield "results", item.results
    if item.entry:
        yield "tasks", ", ".join(item.entry.tasks)
    yield from _places(values)
    if item.model is None and item.entry:
        can = bool(item.entry.checkpoint)
        yield "download", f"vqclip weights get {item.name}" if can else item.entry.by_hand
    yield from (("use", command) for command in _uses(item))


def _places(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if values["path"]:
        yield "path", values["path"]
    if values["sha256"]:
        yield "sha256", f"{values['sha256']} (checkpoint)"
    for file, digest in values["files"].items():
        yield "sha256", f"{digest} ({file})"
    for number, url in enumerate(values["sources"]):
        yield "mirror" if number else "checkpoint", url
    for number, url in enumerate(values["configs"]):
        yield "mirror" if number else "config", url
    if values["page"]:
        yield "page", values["page"]


def _uses(item: "Item") -> Iterator[str]:
    """Yield example commands that use a model."""
    if item.name == "default":
        yield 'vqclip "a fox"'
        return
    if item.kind == "transformer":
        tasks = item.entry.tasks if item.entry else ("sample",)
        for task in tasks:
            command, _, condition = task.partition(" --")
            if command == "sample":
                yield f"vqclip sample -t {item.name}" + (f" --{condition} …" if condition else "")
    yield use_of(item.name, item.kind, draws=_draws(item))


def _draws(item: "Item") -> bool:
    """Return whether a model was trained on RGB images rather than depth or label maps."""
    if item.model is not None:
        return bool(item.model.record.get("rgb", True))
    tasks = item.entry.tasks if item.entry and item.entry.kind == "vqgan" else ()
    return not tasks or "generate" in tasks


def use_of(name: str, kind: str, *, draws: bool = True) -> str:
    """Return an example command for a model.

    draws: whether the model's images are RGB.
    """
    if not draws:
        return f"vqclip reconstruct map.png --vqgan {name}"
    return f'vqclip "a fox" {"--clip" if kind == "clip" else "--vqgan"} {name}'
