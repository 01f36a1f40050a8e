"""``vqclip weights list`` and ``info``."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from vqclip.files.formatting import as_json, readable

if TYPE_CHECKING:
    from vqclip.hub.listing import Item

Json = Annotated[bool, typer.Option("--json", help="Print each model as a line of JSON.")]


def model_argument(help: str) -> Any:
    """Return an argument for model names."""
    return typer.Argument(metavar="NAME", help=help)


Name = Annotated[str, model_argument("Name of a model from `vqclip weights list`.")]


def list_models_command(
    clip: Annotated[
        bool, typer.Option("--clip", help="List open_clip's pretrained models.")
    ] = False,
    json_lines: Json = False,
) -> None:
    """List all models and whether they are on this computer.

    vqclip weights list

    vqclip weights list --clip

    vqclip weights list --json
    """
    if clip:
        _list_clips(json_lines)
        return
    from vqclip.hub.listing import inventory

    items = inventory()
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
            typer.echo(as_json(values))
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
    """Show what a model is, its licence, where it comes from and how to use it.

    vqclip weights info gumbel-f8

    vqclip weights info ViT-B-32/laion2b_s34b_b79k
    """
    for values in [_clip_info(name)] if is_clip(name) else map(_info, items_of(name)):
        if json_lines:
            typer.echo(as_json(values))
        else:
            for key, value in _lines(values):
                typer.echo(f"{key:10} {value}")


def is_clip(name: str) -> bool:
    """Return whether a name is an open_clip or Hugging Face Hub model."""
    return "/" in name or name.startswith("hf-hub:")


def items_of(name: str) -> "list[Item]":
    """Return the model with this name or, for ``default``, all built-in ones.

    Raises:
        UsageError: there is no such model.
    """
    from vqclip.hub.listing import inventory
    from vqclip.registry import unknown

    known = inventory()
    if found := [item for item in known if item.name == name]:
        return found
    raise unknown("model", name, {item.name for item in known})


def _clip_info(name: str) -> dict[str, Any]:
    from vqclip.hub.clip_hub import repository
    from vqclip.hub.requirements import missing_clip

    absent, found = missing_clip(name), repository(name)
    return {
        "name": name,
        "kind": "clip",
        "state": "missing" if absent else "downloaded",
        "size": absent.size if absent else None,
        "repository": found[0] if found else None,
        "page": f"https://huggingface.co/{found[0]}" if found else None,  # states the licence
        "get": f"vqclip weights get {name}" if absent else None,
        "use": [use_of(name, "clip")],
    }


def _info(item: "Item") -> dict[str, Any]:
    get = None
    if item.entry and item.model is None:
        can = bool(item.entry.checkpoint)
        get = f"vqclip weights get {item.name}" if can else item.entry.by_hand
    return {**item.to_dict(), "get": get, "use": list(_uses(item))}


def _lines(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield keys and texts, one per element of a list, without unknown values."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from ((key, f"{digest} ({file})") for file, digest in value.items())
        elif isinstance(value, list):
            yield from ((key, one) for one in value)
        elif value:
            yield key, readable(value) if key == "size" else str(value)


def _uses(item: "Item") -> Iterator[str]:
    """Yield commands that use a model."""
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
    """Return an example command for a model. ``draws``: whether its images are RGB."""
    if not draws:
        return f"vqclip reconstruct map.png --vqgan {name}"
    return f'vqclip "a fox" {"--clip" if kind == "clip" else "--vqgan"} {name}'
