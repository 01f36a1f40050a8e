"""Shell completion of option values."""

from collections.abc import Callable, Mapping
from functools import partial

from vqclip.cli.listings import LISTINGS
from vqclip.config import CODECS, DECAYS, FITS, INTERPOLATIONS, SCHEDULE_NAMES, TARGETS

Values = Mapping[str, str]  # descriptions by value
Completion = Callable[[str], list[tuple[str, str]]]


def completion_of(option: str) -> Completion | None:
    """Return the completer for an option (``--clip``) or argument (``MODEL``), or None."""
    values = _VALUES.get(option)
    if values is None:
        return None

    def complete(incomplete: str) -> list[tuple[str, str]]:
        before, comma, last = incomplete.rpartition(",")  # in a list, complete the last value
        found = values() if callable(values) else dict.fromkeys(values, "")
        known = ((name, about) for name, about in found.items() if name.startswith(last))
        return [(f"{before}{comma}{name}", about) for name, about in known]

    return complete


def _listed(kind: str) -> Values:
    known = LISTINGS[kind]().items()
    return {name: about for name, about in known if " " not in name}


def _inits() -> Values:
    return {name: about for name, about in _listed("inits").items() if "." not in name}


def _classes() -> Values:
    return {name.split(",")[0]: number for number, name in _listed("classes").items()}


def _models(kind: str | None = None) -> Values:
    from vqclip.hub.listing import list_models

    return {item.name: item.about for item in list_models(kind)}


def _lists() -> Values:
    return dict.fromkeys(LISTINGS, "")


_VALUES: Mapping[str, Callable[[], Values] | tuple[str, ...]] = {
    "LIST": _lists,
    "MODEL": _models,
    "--preset": partial(_listed, "presets"),
    "--optimizer": partial(_listed, "optimizers"),
    "--cut-method": partial(_listed, "cut-methods"),
    "--augment": partial(_listed, "augmentations"),
    "--loss": partial(_listed, "losses"),
    "--init": _inits,
    "--class": _classes,
    "--style": partial(_listed, "styles"),
    "--vqgan": partial(_models, "vqgan"),
    "--transformer": partial(_models, "transformer"),
    "--clip": partial(_models, "clip"),
    "--schedule": SCHEDULE_NAMES,
    "--fit": FITS,
    "--init-decay": DECAYS,
    "--init-target": TARGETS,
    "--keep": ("top", "bottom", "left", "right"),
    "--device": ("auto", "cpu", "cuda", "mps"),
    "--precision": ("auto", "float32", "bfloat16", "float16", "portable"),
    "--format": ("text", "csv", "tsv", "jsonl", "yaml"),
    "--codec": CODECS,
    "--interpolate": INTERPOLATIONS,
    "--ease": ("linear", "in", "out", "in-out"),
}
