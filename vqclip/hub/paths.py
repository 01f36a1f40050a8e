"""Paths of weight files: built-in, in the model store, or given by the user."""

from pathlib import Path

from vqclip.config import DEFAULT
from vqclip.errors import UsageError
from vqclip.files.embedded import weights_folder
from vqclip.files.environment import user_path
from vqclip.files.filetypes import WEIGHT_SUFFIXES
from vqclip.hub import store
from vqclip.hub.catalogue import catalogue
from vqclip.registry import with_suggestion

_FAVOURITES = ("model.safetensors", "last.ckpt", "model.ckpt")


def vqgan_path(source: str | Path = DEFAULT) -> Path:
    """Return the weight file of a VQGAN.

    Raises:
        UsageError: the model or file does not exist, or the folder contains no weights.
    """
    if source == DEFAULT:
        return _weights_in(weights_folder() / "vqgan")
    return _weights_file(source, "VQGAN")


def transformer_path(source: str | Path = DEFAULT) -> Path:
    """Return the weight file of a transformer.

    Raises:
        UsageError: the model or file does not exist, or the folder contains no weights.
    """
    if source != DEFAULT:
        return _weights_file(source, "transformer")
    folder = weights_folder() / "transformer"
    if not folder.is_dir():
        raise UsageError("there is no built-in transformer: choose one with `transformer`")
    return _weights_in(folder)


def _weights_file(source: str | Path, what: str) -> Path:
    """Return the weight file that a model name, folder or file refers to."""
    if source == "":  # as a path, it would be the current folder
        raise _unknown(source, what)
    path = user_path(source)
    if path.is_dir():
        return _weights_in(path)
    if path.is_file():
        return path
    if model := stored(source):
        return model.weights
    if path.suffix in WEIGHT_SUFFIXES or len(path.parts) > 1:
        raise UsageError(f"there is no {what} file {str(source)!r}; check the path")
    raise _unknown(str(source), what)


def stored(source: str | Path) -> store.StoredModel | None:
    """Return the stored model with this name; None if there is none or a file has this name."""
    is_path = source == DEFAULT or user_path(source).exists()
    return None if is_path else store.find(str(source))


def check_unchanged(source: str | Path) -> None:
    """Raise an error if ``source`` is a stored model whose files have changed."""
    if model := stored(source):
        store.check(model)


def _unknown(source: str, what: str) -> UsageError:
    """Return the error for a missing model, with instructions for getting it."""
    known = [name for name, e in catalogue().items() if what == "VQGAN" or e.kind == "transformer"]
    if source in known:
        return UsageError(
            f"{source} is not on this computer; download it with: vqclip weights get {source}"
        )
    advice = with_suggestion(
        source,
        known,
        f"use {DEFAULT}, a name from 'vqclip weights list', or the path of a "
        f"{', '.join(WEIGHT_SUFFIXES[:3])} file or of a folder that contains a config and weights",
    )
    return UsageError(f"unknown {what} {source!r}; {advice}")


def _weights_in(folder: Path) -> Path:
    """Return the weight file in a folder, or in the subfolder where training runs save it."""
    places = (folder, folder / "checkpoints", folder / "ckpts")
    favourites = [place / name for place in places for name in _FAVOURITES]
    for file in favourites:
        if file.is_file():
            return file
    for place in reversed(places):
        files = sorted(file for file in place.glob("*") if file.suffix in WEIGHT_SUFFIXES)
        if len(files) > 1:
            names = ", ".join(file.name for file in files[:5])
            raise UsageError(f"{place} contains several weight files ({names}); choose one of them")
        if files:
            return files[0]
    raise UsageError(
        f"there are no weights in {folder}; it needs a {' or '.join(WEIGHT_SUFFIXES[:3])}"
    )
