"""Python, and the packages that vqclip needs or can use."""

import importlib
import importlib.util
import platform
import re
import sys
from collections.abc import Iterator
from importlib import metadata

from vqclip import __version__
from vqclip.diagnostics.doctor.findings import Finding, probed
from vqclip.models.light_torch import without_compiler

_NEEDED = {
    "open_clip_torch": "open_clip",
    "av": "av",
    "imageio": "imageio",
    "pillow": "PIL",
    "safetensors": "safetensors",
    "numpy": "numpy",
}
# Extra of vqclip: the package it brings, its module, what for.
_EXTRAS = {
    "optimizers": ("pytorch-optimizer", "pytorch_optimizer", "adamp, diffgrad and others"),
    "edges": ("scikit-image", "skimage", "edges of photos"),
    "heic": ("pillow-heif", "pillow_heif", "the pictures of iPhones"),
    "flow": ("opencv-python-headless", "cv2", "restyle, and films whose parts move"),
    "train": ("accelerate", "accelerate", "training on several devices"),
}
_LEAST_PYTHON = (3, 10)
_PAIR = "pip install --force-reinstall torch torchvision, both from the same index"


def python() -> Iterator[Finding]:
    """Look at the interpreter."""
    about = f"{platform.python_version()}, vqclip {__version__}, {platform.platform(terse=True)}"
    if sys.version_info < _LEAST_PYTHON:
        yield Finding("python", "problem", about, "use Python 3.10 or newer")
    else:
        yield Finding("python", "ok", about)


def torch_pair() -> Iterator[Finding]:
    """Look whether torchvision works with this torch: each of its builds knows a single one."""
    about = f"{installed('torch')} with torchvision {installed('torchvision')}"
    wanted = _pinned_torch()
    if wanted and wanted != installed("torch").partition("+")[0]:
        yield Finding("torch", "problem", f"{about}, which is for torch {wanted}", _PAIR)
        return

    def trial() -> None:
        with without_compiler():
            importlib.import_module("torchvision")

    yield probed("torch", about, _PAIR, trial)


def needed() -> Iterator[Finding]:
    """Look for the packages that are always needed."""
    missing = [name for name, module in _NEEDED.items() if not _has(module)]
    if missing:
        names = ", ".join(missing)
        yield Finding("packages", "problem", f"{names} missing", "pip install " + " ".join(missing))
    there = (name for name in _NEEDED if name not in missing)
    yield Finding("packages", "ok", ", ".join(f"{name} {installed(name)}" for name in there))


def extras() -> Iterator[Finding]:
    """Look for the packages of vqclip's extras."""
    for extra, (package, module, purpose) in _EXTRAS.items():
        if _has(module):
            yield Finding(f"[{extra}]", "ok", f"{package} {installed(package)}: {purpose}")
        else:
            fix = f'if you want it: pip install "vqclip[{extra}]"'
            yield Finding(f"[{extra}]", "note", f"not installed: {purpose}", fix)


def installed(package: str) -> str:
    """Return a package's version, or that there is none."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "(no version)"


def _pinned_torch() -> str | None:
    """Return the version of torch that torchvision asks for."""
    try:
        wants = metadata.requires("torchvision") or []
    except metadata.PackageNotFoundError:
        return None
    pins = (re.match(r"torch\s*\(?==\s*([\w.]+)", want) for want in wants)
    return next((pin[1] for pin in pins if pin), None)


def _has(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False
