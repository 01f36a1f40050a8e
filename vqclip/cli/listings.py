"""Names that options accept, each with a short description."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from vqclip.registry import Registry

Listing = Callable[[], Mapping[str, str]]


def _documented(entries: Mapping[str, Any]) -> dict[str, str]:
    """Return the first lines of docstrings, without an initial "Return"."""
    lines = {name: (entry.__doc__ or "").strip().split("\n")[0] for name, entry in entries.items()}
    plain = {name: line.removeprefix("Return ").replace("``", "") for name, line in lines.items()}
    return {name: line[:1].upper() + line[1:] for name, line in plain.items()}


def _presets() -> Mapping[str, str]:
    from vqclip.config.presets import ABOUT, PRESETS

    return {name: ABOUT[name] for name in PRESETS}


def _cut_methods() -> Mapping[str, str]:
    from vqclip.generation.cutouts.methods import CUT_METHODS

    return _documented(CUT_METHODS)


def _augmentations() -> Mapping[str, str]:
    from vqclip.generation.cutouts.augmentations import AUGMENTATIONS

    return _documented(AUGMENTATIONS)


def _optimizers() -> Mapping[str, str]:
    from vqclip.generation.optimizers import OPTIMIZERS

    extra = {"adamp, diffgrad, …": "(run pip install 'vqclip[optimizers]')"}
    return dict.fromkeys(OPTIMIZERS, "") | extra


def _losses() -> Mapping[str, str]:
    from vqclip.generation.losses import LOSSES

    return _documented(LOSSES)


def _inits() -> Mapping[str, str]:
    from vqclip.generation.latents import PICTURES

    return {
        "random": "Random codes.",
        **_documented(PICTURES),
        "sample": "The best of several samples (--drafts) that a transformer generates without "
        "the prompt.",
        "photo.jpg": "An image (path or URL).",
        "codes.npz": "Codes saved with --save-codes.",
    }


def _styles() -> Mapping[str, str]:
    from vqclip.files.embedded import weights_folder
    from vqclip.files.safe_yaml import read_yaml

    config = read_yaml(weights_folder() / "transformer" / "config.yaml")
    known = config["model"]["params"]["cond_stage_config"]["params"].get("styles", ())
    return {
        "auto": "The styles named in the prompt, or otherwise the first two styles in turn.",
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


LISTINGS: Registry[Listing] = Registry(
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
