"""The embedded models: whole, unchanged, and loading."""

from collections.abc import Callable, Iterator
from pathlib import Path

from vqclip.doctor.findings import Finding, probed
from vqclip.embedded import weights_folder
from vqclip.zoo import load_perceptor, load_transformer, load_vqgan, weights_hash

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
