"""The embedded models: whole, unchanged, and loading. The named ones: recorded, and whole."""

from collections.abc import Callable, Iterator
from pathlib import Path

from vqclip.diagnostics.doctor.findings import Finding, probed
from vqclip.files.hashing import weights_hash
from vqclip.hub import store
from vqclip.hub.catalogue import catalogue
from vqclip.hub.embedded import weights_folder
from vqclip.hub.loaders import load_perceptor, load_transformer, load_vqgan

SUMS = "SHA256SUMS"
_REINSTALL = "pip install --force-reinstall vqclip"
_LOADERS: dict[str, Callable[[], object]] = {
    "vqgan": load_vqgan,
    "clip": load_perceptor,
    "transformer": load_transformer,
}


def embedded() -> Iterator[Finding]:
    """Compare the files with their known hashes, then load the models."""
    folder = weights_folder()
    for name, expected in known_sums(folder).items():
        kind = name.partition("/")[0]
        file = folder / name
        if not file.is_file():
            yield Finding(kind, "problem", f"{file} is missing", _REINSTALL)
        elif weights_hash(file) != expected:
            yield Finding(kind, "problem", f"{file} is not the one that was shipped", _REINSTALL)
        else:
            about = f"default, {file.stat().st_size / 1e6:.0f} MB, unchanged, loads"
            yield probed(kind, about, _REINSTALL, _LOADERS[kind])


def known_sums(folder: Path) -> dict[str, str]:
    """Return the hashes of the embedded weights by their names, as ``sha256sum`` writes them."""
    lines = (folder / SUMS).read_text().splitlines()
    return {name: digest for digest, name in (line.split(maxsplit=1) for line in lines)}


def named() -> Iterator[Finding]:
    """Look whether the files of every named model are there, as large as they were.

    Their hashes are for ``vqclip weights verify``: gigabytes take a while to read.
    """
    kept = store.models()
    for model in kept:
        again = f"vqclip weights remove {model.name}, then get or import it again"
        size, expected = _size(model), model.record.get("size")
        if expected is None:
            yield Finding(model.name, "problem", "its record cannot be read", again)
        elif size != expected:
            about = f"files are missing or not whole ({size:,} of {expected:,} bytes)"
            yield Finding(model.name, "problem", about, again)
        else:
            yield Finding(model.name, "ok", f"{model.kind}, {size / 1e6:.0f} MB")
    absent = len(catalogue().keys() - {model.name for model in kept})
    yield Finding(
        "named models", "ok", f"{len(kept)} here, {absent} to be had: vqclip weights list"
    )


def _size(model: store.StoredModel) -> int:
    files = (model.folder / name for name in model.record.get("sha256", {}))
    return sum(file.stat().st_size for file in files if file.is_file())
