"""``vqclip list``: the names that options take."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Annotated, Any

import typer

from vqclip.registry import Registry

Lister = Callable[[], Mapping[str, str]]


def list_command(
    kind: Annotated[
        str,
        typer.Argument(
            help="presets, cut-methods, augmentations, optimizers, losses, inits; of transformers: "
            "classes (ImageNet's), coco-stuff, ade20k, s-flckr (labels)."
        ),
    ],
) -> None:
    """List the names that an option takes, with a line about each.

    Example: vqclip list augmentations
    """
    for name, about in KINDS[kind]().items():
        typer.echo(f"{name:18} {about}".rstrip())


def _documented(entries: Mapping[str, Any]) -> dict[str, str]:
    return {name: (entry.__doc__ or "").strip().split("\n")[0] for name, entry in entries.items()}


def _presets() -> Mapping[str, str]:
    from vqclip.config.presets import PRESETS

    return {
        name: " ".join(f"{key}={_short(value)}" for key, value in preset.items())
        for name, preset in PRESETS.items()
    }


def _short(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value)


def _cut_methods() -> Mapping[str, str]:
    from vqclip.generation.cutouts import CUT_METHODS

    return _documented(CUT_METHODS)


def _augmentations() -> Mapping[str, str]:
    from vqclip.generation.cutouts import AUGMENTATIONS

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
        "sample": "What a --transformer draws, the best of --drafts.",
        "photo.jpg": "A picture, path or URL.",
        "codes.npz": "Codes kept with --save-codes.",
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
        "classes": _classes,
        "coco-stuff": partial(_labels, "coco-stuff"),
        "ade20k": partial(_labels, "ade20k"),
        "s-flckr": partial(_labels, "s-flckr"),
    },
)
