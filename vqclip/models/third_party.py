"""Calls to other packages' loaders, without warnings and with clear errors."""

import importlib
import logging
import pickle
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from vqclip.errors import CheckpointError, UnsafeCheckpointError, UsageError
from vqclip.files.environment import offline
from vqclip.files.filetypes import why_no_weights
from vqclip.files.filters import own_filters


class NotHereError(Exception):
    """The weights are not on this computer, and downloading was not allowed."""


def check_weights(path: Path) -> None:
    """Raise CheckpointError if a file's first bytes show that it cannot contain weights."""
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
    if reason := why_no_weights(head):
        raise CheckpointError(f"cannot load {path}: {reason}")


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn any error from open_clip, torch or the hub into one line that starts with ``what``."""
    try:
        yield
    except NotHereError:
        raise
    except ImportError as error:
        package = (error.name or "").partition(".")[0]
        hint = f"it needs the package {package}: run pip install {package}" if package else error
        raise UsageError(f"{what}: {hint}") from error
    except Exception as error:
        message = " ".join(str(error).split())
        if isinstance(error, pickle.UnpicklingError) and "Unsupported global" in message:
            raise UnsafeCheckpointError(f"{what}: it would run code, so it was refused") from error
        raise CheckpointError(f"{what}: {_reason(error, message)}") from error


def _reason(error: Exception, message: str) -> str:
    """Return a one-line reason why weights could not be loaded."""
    damaged = (pickle.UnpicklingError, EOFError, SafetensorError)
    if isinstance(error, damaged) or "PytorchStreamReader" in message:
        return "the file is damaged or incomplete, or contains no weights"
    if "TorchScript" in message:
        return "the file is a TorchScript program, which is not run; save its state_dict instead"
    misfit, _, details = message.partition("Error(s) in loading state_dict for ")
    if details or isinstance(error, AssertionError):  # open_clip asserts sizes
        message = f"the weights belong to another architecture ({details or misfit})"
    return textwrap.shorten(message, 240) or type(error).__name__


@contextmanager
def quiet() -> Iterator[None]:
    """Silence warnings from open_clip and the hub, and keep both from configuring logging."""
    with own_filters():  # also protects the state of logging, which belongs to the process, too
        warnings.simplefilter("ignore")
        handler, disabled = logging.NullHandler(), logging.root.manager.disable
        logging.root.addHandler(handler)
        logging.disable()
        try:
            yield
        finally:
            logging.disable(disabled)
            logging.root.removeHandler(handler)


@contextmanager
def cached_only(downloader: Any) -> Iterator[None]:
    """Restrict a module that calls ``hf_hub_download`` to files in the hub's cache."""
    original = downloader.hf_hub_download
    downloader.hf_hub_download = partial(original, local_files_only=True)
    try:
        yield
    finally:
        downloader.hf_hub_download = original


def check_network() -> None:
    """Raise :class:`ConnectionError` if the hub does not respond or offline mode is set."""
    if variable := offline():
        raise ConnectionError(f"network access is disabled by {variable}")
    hub = importlib.import_module("huggingface_hub")  # imported here because it is slow
    try:
        hub.utils.get_session().head(hub.constants.ENDPOINT, timeout=10)
    except Exception as error:
        raise ConnectionError(f"{hub.constants.ENDPOINT} cannot be reached: {error}") from error
