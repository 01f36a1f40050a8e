"""Calling other packages' loaders: quietly, and with errors that a user can act on."""

import logging
import pickle
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from vqclip.errors import CheckpointError, UnsafeCheckpointError, UsageError


def check_weights(path: Path) -> None:
    """Refuse a file that cannot hold weights, before a reader finds more obscure words for it."""
    try:
        with path.open("rb") as file:
            start = file.read(64).lstrip()
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
    if not start:
        raise CheckpointError(f"{path} is empty; download it again")
    if start.startswith((b"<", b"version https://git-lfs")):
        raise CheckpointError(f"{path} is a web page or a link, not weights; download it again")


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn whatever open_clip, torch and the hub raise into one line that begins with ``what``."""
    try:
        yield
    except ImportError as error:
        hint = f"needs the package {error.name}: pip install {error.name}"
        raise UsageError(f"{what}: it {hint}" if error.name else f"{what}: {error}") from error
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, pickle.UnpicklingError) and "Unsupported global" in reason:
            raise UnsafeCheckpointError(f"{what}: it asks for code to be run; refused") from error
        if isinstance(error, pickle.UnpicklingError | EOFError | SafetensorError):
            reason = "the file is damaged or incomplete, or holds no weights"
        raise CheckpointError(f"{what}: {textwrap.shorten(reason, 300)}") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Keep open_clip and the hub from warning, and from setting up logging for the program."""
    handler = logging.NullHandler()
    logging.root.addHandler(handler)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.root.removeHandler(handler)
