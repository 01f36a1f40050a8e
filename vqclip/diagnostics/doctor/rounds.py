"""The examination: every check in turn, quick ones first."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from vqclip.diagnostics.doctor import machine, media, models, packages
from vqclip.diagnostics.doctor.findings import Check, Finding, survived
from vqclip.files.environment import home, user_path


def examine() -> Iterator[Finding]:
    """Yield what is found about this installation and machine, as it is found.

    Nothing is written but files that vanish at once, and no network is used.
    """
    checks: dict[str, Check] = {
        "python": packages.python,
        "torch": packages.torch_pair,
        "packages": packages.needed,
        "extras": packages.extras,
        "device": machine.device,
        "precision": machine.precisions,
        "folders": partial(machine.folders, {"models": home, "hub": hub_cache}),
        "network": partial(machine.network, os.environ),
        "films": media.films,
        "models": models.embedded,
        "named models": models.named,
    }
    for name, check in checks.items():
        yield from survived(name, check)


def hub_cache() -> Path:
    """Return where the Hugging Face hub keeps what open_clip fetches."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    home = Path(os.environ.get("HF_HOME") or caches / "huggingface")
    return user_path(os.environ.get("HF_HUB_CACHE") or home / "hub")
