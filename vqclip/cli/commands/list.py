"""``vqclip list``: names that options accept."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Annotated, Any

import typer

from vqclip.cli.completion import completion_of
from vqclip.config import GenerateConfig
from vqclip.config.setting import options_of
from vqclip.errors import UsageError
from vqclip.registry import Registry

_WIDTH = 18  # minimum width of the names
Lister = Callable[[], Mapping[str, str]]


def list_command(
    kind: Annotated[
        str | None,
        typer.Argument(
            help="What to list: presets, cut-methods, augmentations, optimizers, losses, inits or"
            " styles; the classes of ImageNet; or the labels of coco-stuff, ade20k or "
            "s-flckr.",
            show_default=False,
            autocompletion=completion_of("LIST"),
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Argument(
            help="Preset whose settings to show.",
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
        raise UsageError(f"choose what to list: {', '.join(KINDS)}")
    names = KINDS[kind]() if preset is None else _settings_of(kind, preset)
    width = max(_WIDTH, *map(len, names))
    for name, about in names.items():
        typer.echo(f"{name:{width}} {about}".rstrip())


def _documented(entries: Mapping[str, Any]) -> dict[str, str]:
    """Return the first lines of docstrings, without an initial "Return"."""
    lines = {name: (entry.__doc__ or "").strip().split("\n")[0] for name, entry in entries.items()}
    plain = {name: line.removeprefix("Return ").replace("``", "") for name, line in lines.items()}
    return {name: line[:1].upper() + line[1:] for name, line in plain.items()}


def _presets() -> Mapping[str, str]:
    from vqclip.config.presets import ABOUT, PRESETS

    return {name: ABOUT[name] for name in PRESETS}


def _settings_of(kind: str, preset: str) -> Mapping[str, str]:
    from vqclip.config.presets import PRESETS

    if kind != "presets":
        raise UsageError(f"{preset!r} cannot be listed: only presets have settings to list")
    options, values = options_of(GenerateConfig), PRESETS[preset]
    return {options[name].flags[0]: str(options[name].write(values[name])) for name in values}


def _cut_methods() -> Mapping[str, str]:
    from vqclip.generation.cutouts.methods import CUT_METHODS

    return _documented(CUT_METHODS)


def _augmentations() -> Mapping[str, str]:
    from vqclip.generation.cutouts.augmentations import AUGMENTATIONS

    return _documented(AUGMENTATIONS)


def _optimizers() -> Mapping[str, str]:
    from vqclip.generation.optimizers import OPTIMIZERS

    extra = {"adamp, diffgrad, …": "with pip install 'vqclip[optimizers]'"}
    return dict.fromkeys(OPTIMIZERS, "") | extra


def _losses() -> Mapping[str, str]:
    from vqclip.generation.losses import LOSSES

    return _documented(LOSSES)


def _inits() -> Mapping[str, str]:
    from vqclip.generation.latents import PICTURES

    return {
        "random": "Random codes.",
        **_documented(PICTURES),
        "sample": "The best of --drafts unprompted samples from a transformer.",
        "photo.jpg": "An image (path or URL).",
        "codes.npz": "Codes saved with --save-codes.",
    }


def _styles() -> Mapping[str, str]:
    from vqclip.files.embedded import weights_folder
    from vqclip.files.safe_yaml import read_yaml

    config = read_yaml(weights_folder() / "transformer" / "config.yaml")
    known = config["model"]["params"]["cond_stage_config"]["params"].get("styles", ())
    return {
        "auto": "The styles named in the prompt, otherwise the first two styles in turn.",
        "none": "No style.",
        **dict.fromkeys(known, ""),
    }


def _classes() -> Mapping[str, str]:
    from vqclip.models.perceptor import imagenet_classes

    return _numbered(imagenet_classes())


def _labels(name: str) -> Mapping[str, str]:
    from vqclip.sampling.labels import LABELS

    return _numbered(LABELS[name])


def _numbered(names: Sequence[str]) -> dict[str, str]:
    return {str(number): name for number, name in enumerate(names)}


KINDS: Registry[Lister] = Registry(
    "list",
    {
        "presets": _presets,
        "cut-methods": _cut_methods,
        "augmentations": _augmentations,
        "optimizers": _optimizers,
        "losses": _losses,
        "inits": _inits,
        "styles": _styles,
        "classes": _classes,
        "coco-stuff": partial(_labels, "coco-stuff"),
        "ade20k": partial(_labels, "ade20k"),
        "s-flckr": partial(_labels, "s-flckr"),
    },
)
