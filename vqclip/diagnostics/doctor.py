"""Checks of an installation: versions, packages, devices, folders, encoders and models."""

import importlib
import importlib.util
import os
import platform
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from importlib import metadata
from pathlib import Path

import numpy as np

from vqclip.config import CODECS, VideoConfig
from vqclip.diagnostics import machine
from vqclip.diagnostics.machine import Finding, probe
from vqclip.errors import one_line
from vqclip.files.embedded import weights_folder
from vqclip.files.environment import home, user_path
from vqclip.files.hashing import weights_hash
from vqclip.files.version import __version__
from vqclip.hub import store
from vqclip.hub.catalogue import catalogue
from vqclip.hub.loaders import load_perceptor, load_transformer, load_vqgan
from vqclip.media.writers import video_writer
from vqclip.models.light_torch import without_compiler

SUMS = "SHA256SUMS"
_NEEDED = {
    "open_clip_torch": "open_clip",
    "av": "av",
    "imageio": "imageio",
    "pillow": "PIL",
    "safetensors": "safetensors",
    "numpy": "numpy",
}
# Each of vqclip's extras with its package, module and purpose.
_EXTRAS = {
    "optimizers": ("pytorch-optimizer", "pytorch_optimizer", "adamp, diffgrad and others"),
    "edges": ("scikit-image", "skimage", "edges in photos"),
    "heic": ("pillow-heif", "pillow_heif", "images from iPhones"),
    "flow": ("opencv-python-headless", "cv2", "restyle, and animate with `interpolate=flow`"),
    "train": ("accelerate", "accelerate", "training on several devices"),
}
_LEAST_PYTHON = (3, 10)
_TORCH_PAIR = "pip install --force-reinstall torch torchvision, both from the same index"
_REINSTALL = "pip install --force-reinstall"
_FRAMES = np.zeros((3, 64, 64, 3), np.uint8)
_FRAMES[1:] = 200
_LOADERS: dict[str, Callable[[], object]] = {
    "vqgan": load_vqgan,
    "clip": load_perceptor,
    "transformer": load_transformer,
}


def examine() -> Iterator[Finding]:
    """Yield findings about this installation and machine, one by one.

    The checks write only short-lived temporary files and do not use the network.
    """
    checks: dict[str, Callable[[], Iterator[Finding]]] = {
        "python": python,
        "torch": torch_pair,
        "packages": needed_packages,
        "extras": extras,
        "device": machine.device,
        "precision": machine.precisions,
        "folders": partial(machine.folders, {"models": home, "hub": hub_cache}),
        "network": partial(machine.network, os.environ),
        "videos": encoders,
        "models": embedded_models,
        "named models": named_models,
    }
    for name, check in checks.items():
        yield from checked(name, check)


def checked(name: str, check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """Yield the findings of ``check``; report an exception as a problem."""
    try:
        yield from check()
    except Exception as error:
        yield Finding(
            name, "problem", one_line(error), "install vqclip again, or report the problem"
        )


def hub_cache() -> Path:
    """Return the Hugging Face cache folder, where open_clip stores its downloads."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    home = Path(os.environ.get("HF_HOME") or caches / "huggingface")
    return user_path(os.environ.get("HF_HUB_CACHE") or home / "hub")


def python() -> Iterator[Finding]:
    """Check the interpreter."""
    about = f"{platform.python_version()}, vqclip {__version__}, {platform.platform(terse=True)}"
    if sys.version_info < _LEAST_PYTHON:
        yield Finding("python", "problem", about, "use Python 3.10 or newer")
    else:
        yield Finding("python", "ok", about)


def torch_pair() -> Iterator[Finding]:
    """Check that torchvision was built for the installed torch."""
    about = f"{_version('torch')} with torchvision {_version('torchvision')}"
    wanted = _pinned_torch()
    if wanted and wanted != _version("torch").partition("+")[0]:
        yield Finding("torch", "problem", f"{about}, which is for torch {wanted}", _TORCH_PAIR)
        return

    def trial() -> None:
        with without_compiler():
            importlib.import_module("torchvision")

    yield probe("torch", about, _TORCH_PAIR, trial)


def needed_packages() -> Iterator[Finding]:
    """Check the required packages."""
    missing = [name for name, module in _NEEDED.items() if not _has(module)]
    if missing:
        names = ", ".join(missing)
        yield Finding("packages", "problem", f"{names} missing", "pip install " + " ".join(missing))
    there = (name for name in _NEEDED if name not in missing)
    yield Finding("packages", "ok", ", ".join(f"{name} {_version(name)}" for name in there))


def extras() -> Iterator[Finding]:
    """Check the packages of vqclip's extras."""
    for extra, (package, module, purpose) in _EXTRAS.items():
        if _has(module):
            yield Finding(f"[{extra}]", "ok", f"{package} {_version(package)}: {purpose}")
        else:
            fix = f'to add it, run pip install "vqclip[{extra}]"'
            yield Finding(f"[{extra}]", "note", f"not installed: {purpose}", fix)


def _version(package: str) -> str:
    """Return a package's version, or "(no version)" if it has none."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "(no version)"


def _pinned_torch() -> str | None:
    """Return the torch version that torchvision requires, or None if unknown."""
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


def encoders() -> Iterator[Finding]:
    """Check GIF, WebP and every video codec by encoding three frames."""
    for codec in CODECS:
        instead = "" if codec == "h264" else ", or use another `codec`"
        fix = f"{_REINSTALL} av imageio{instead}"
        yield _encodes(f"mp4 {codec}", "video.mp4", VideoConfig(10, codec=codec), fix)
    for name in ("gif", "webp"):
        yield _encodes(name, f"video.{name}", VideoConfig(10), f"{_REINSTALL} pillow")


def _encodes(name: str, file: str, video: VideoConfig, fix: str) -> Finding:
    def trial() -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / file
            with video_writer(path, video) as write:
                for step, frame in enumerate(_FRAMES):
                    write(frame, step)
            if not path.stat().st_size:
                raise OSError("the video is empty")

    return probe(name, "encodes", fix, trial)


def embedded_models() -> Iterator[Finding]:
    """Check the built-in files against their known hashes, then load the models."""
    folder, fix = weights_folder(), f"{_REINSTALL} vqclip"
    for name, expected in known_sums(folder).items():
        kind = name.partition("/")[0]
        file = folder / name
        if not file.is_file():
            yield Finding(kind, "problem", f"{file} is missing", fix)
        elif weights_hash(file) != expected:
            yield Finding(kind, "problem", f"{file} differs from the original", fix)
        else:
            about = f"default, {file.stat().st_size / 1e6:.0f} MB, unchanged, loads"
            yield probe(kind, about, f"fix the problems above; else {fix}", _LOADERS[kind])


def known_sums(folder: Path) -> dict[str, str]:
    """Return the hashes of the built-in weights by file name, read from ``SHA256SUMS``."""
    lines = (folder / SUMS).read_text().splitlines()
    return {name: digest for digest, name in (line.split(maxsplit=1) for line in lines)}


def named_models() -> Iterator[Finding]:
    """Check the total file size of every downloaded or imported model.

    ``vqclip weights verify`` also checks the hashes, which takes longer.
    """
    kept = store.models()
    for model in kept:
        again = f"vqclip weights remove {model.name}, then get or import it again"
        size, expected = _size(model), model.record.get("size")
        if expected is None:
            yield Finding(model.name, "problem", "its record cannot be read", again)
        elif size != expected:
            about = f"files are missing or incomplete ({size:,} of {expected:,} bytes)"
            yield Finding(model.name, "problem", about, again)
        else:
            yield Finding(model.name, "ok", f"{model.kind}, {size / 1e6:.0f} MB")
    absent = len(catalogue().keys() - {model.name for model in kept})
    yield Finding(
        "named models",
        "ok",
        f"{len(kept)} on this computer, {absent} available to download; see vqclip weights list",
    )


def _size(model: store.StoredModel) -> int:
    files = (model.folder / name for name in model.record.get("sha256", {}))
    return sum(file.stat().st_size for file in files if file.is_file())
