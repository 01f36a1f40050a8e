"""``vqclip weights get`` and ``import``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vqclip.cli import options as opt
from vqclip.cli.commands.weights.show import Json, is_clip, model_argument, use_of
from vqclip.cli.downloading import downloading
from vqclip.cli.terminal import Terminal
from vqclip.files.environment import user_path
from vqclip.files.formatting import as_json

if TYPE_CHECKING:
    from vqclip.hub.downloads import Listener
    from vqclip.hub.install import Installed


def get_command(
    names: Annotated[
        list[str],
        model_argument(
            "Names of models from `vqclip weights list` or `vqclip weights list --clip`."
        ),
    ],
    trust: Annotated[
        bool, typer.Option("--trust", help="Accept files that differ from the previous download.")
    ] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Also keep the downloaded checkpoint.")
    ] = False,
    attempts: Annotated[
        int,
        typer.Option(
            min=1,
            help="Number of consecutive attempts without progress before vqclip gives up on a "
            "source.",
        ),
    ] = 5,
    timeout: Annotated[
        float,
        typer.Option(min=0.1, help="Seconds to wait for a response before trying again."),
    ] = 30.0,
    quiet: opt.Quiet = False,
    json_lines: Json = False,
) -> None:
    """Download and verify models, and keep only their weights.

    vqclip discards optimizer states and loss networks. If the command is interrupted, run it again
    to continue. vqclip reads proxy settings from the environment. VQCLIP_OFFLINE=1 disables network
    access.

    vqclip weights get imagenet-f16-16384

    vqclip weights get gumbel-f8 ViT-B-32/laion2b_s34b_b79k
    """
    from vqclip.hub.downloads.transfer import Patience

    terminal = Terminal(quiet=quiet, json_lines=json_lines)
    patience = Patience(attempts, min(1.0, timeout), timeout)
    for name in names:
        if is_clip(name):
            _get_clip(name, terminal)
            continue
        _announce(name, terminal)
        with downloading(name, terminal) as listener:
            supplied = _get(name, listener, patience, trust, keep)
        _report(supplied, terminal, "" if keep else "the checkpoint itself was deleted")


def _announce(name: str, terminal: Terminal) -> None:
    """Print a download's size and source; raise UsageError if a model cannot be downloaded."""
    from vqclip.hub import store
    from vqclip.hub.catalogue import known_entry
    from vqclip.hub.requirements import missing_entry

    if store.find(name) is None:
        terminal.message(f"downloading {missing_entry(known_entry(name))}")


def _get(name: str, listener: "Listener", patience: Any, trust: bool, keep: bool) -> "Installed":
    from vqclip.hub.install import get  # with torch

    return get(name, listener, patience, trust=trust, keep=keep)


def _get_clip(name: str, terminal: Terminal) -> None:
    from vqclip.hub.requirements import missing_clip
    from vqclip.models.perceptor import perceptor_weights

    with terminal.console.status(f"looking for {name}"):
        absent = missing_clip(name)
    if absent:
        terminal.message(f"downloading {absent}")
        with terminal.console.status(f"downloading {name}"):
            absent.fetch(None)  # type: ignore[arg-type]  # the hub's client reports no progress
    path = perceptor_weights(name)
    about = "downloaded" if absent else "already on this computer"
    terminal.report([path], about, {"name": name, "kind": "clip", "new": absent is not None})


def import_command(
    source: Annotated[
        Path, typer.Argument(metavar="FILE", help="Checkpoint, or a folder that contains one.")
    ],
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="YAML",
            help="Config file for the model. Default: the YAML file beside the checkpoint.",
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--name", help="Name for the model. Default: derived from the file name."),
    ] = None,
    half: Annotated[
        bool,
        typer.Option("--half", help="Store the weights as 16-bit floats, which halves their size."),
    ] = False,
    overwrite: opt.Overwrite = False,
    quiet: opt.Quiet = False,
    json_lines: Json = False,
) -> None:
    """Import a checkpoint under a name, without executing any code in it.

    You can import checkpoints from taming-transformers, latent-diffusion and Lightning, and folders
    that contain an open_clip model. The original file is kept.

    vqclip weights import last.ckpt --config 2021-04-23T18-19-01-project.yaml --name ffhq

    vqclip weights import logs/2020-11-09T13-31-51_sflckr --name sflckr
    """
    terminal = Terminal(quiet=quiet, json_lines=json_lines)
    with terminal.console.status("reading the checkpoint"):
        from vqclip.hub.install import default_model_name, import_model

        called = name or default_model_name(source)
        supplied = import_model(user_path(source), called, config, half=half, overwrite=overwrite)
    _report(supplied, terminal)


def _report(supplied: "Installed", terminal: Terminal, about: str = "") -> None:
    from vqclip.files.formatting import readable

    model = supplied.model
    if terminal.json_lines:
        values = {"name": model.name, "path": str(model.folder), "new": supplied.new}
        values |= {**model.record, "weights": str(model.weights)}
        typer.echo(as_json(values))
        return
    if terminal.quiet:
        typer.echo(model.folder)
        return
    size = readable(model.record.get("size", 0))
    state = size if supplied.new else f"{size}, already on this computer"
    typer.echo(f"{model.name}  ({model.kind}, {state}, in {model.folder})")
    dropped = model.record.get("dropped") if supplied.new else None
    if dropped:
        left = ", ".join(f"{what} {readable(size)}" for what, size in dropped.items())
        terminal.message(f"dropped: {left}{'; ' + about if about else ''}")
    if model.kind == "transformer":
        use = f"vqclip sample -t {model.name}"
    else:
        use = use_of(model.name, model.kind, draws=model.record.get("rgb", True))
    terminal.message(f"use it: {use}")
