"""User paths, the models folder, and the offline setting."""

import os
from pathlib import Path

import platformdirs

from vqclip.errors import UsageError, reason_of

_OFFLINE = ("VQCLIP_OFFLINE", "HF_HUB_OFFLINE")


def user_path(text: str | Path) -> Path:
    """Return the path typed by a user, with ``~`` and ``~name`` expanded.

    Raises:
        UsageError: the home folder does not exist, or the path is invalid.
    """
    try:
        path = Path(text).expanduser()
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        pass
    except RuntimeError as error:
        name = Path(text).parts[0]
        raise UsageError(
            f"there is no home folder {name}: set HOME, or write the full path"
        ) from error
    except (OSError, TypeError, ValueError) as error:  # too long, no text, or with a null byte
        raise UsageError(
            f"{str(text)[:60]!r} cannot be the name of a file: {reason_of(error)}"
        ) from error
    return path


def file_path(text: str | Path) -> Path:
    """Return the path of a file to write, expanded by :func:`user_path`.

    Raises:
        UsageError: the path has no file name, as in ``.`` and ``/``, or :func:`user_path` fails.
    """
    path = user_path(text)
    if not path.name:
        raise UsageError(f"{path} is a folder: choose a file")
    return path


def existing_file(text: str | Path, kind: str = "file") -> Path:
    """Return the path of a file to read, expanded by :func:`user_path`.

    kind: what the file contains, such as ``image``, for the error message.

    Raises:
        UsageError: there is no such file, the path is a folder, or :func:`user_path` fails.
    """
    path = user_path(text)
    if text and path.is_dir():
        raise UsageError(f"{text} is a folder: choose a file")
    if not path.is_file():
        raise UsageError(f"no such {kind}: {text}")
    return path


def home() -> Path:
    """Return the folder for named models: ``VQCLIP_HOME`` if set, else the platform's data folder.

    Raises:
        UsageError: the user has no home folder, as in some containers.
    """
    folder_name = os.environ.get("VQCLIP_HOME")
    try:
        folder = Path(folder_name or platformdirs.user_data_path("vqclip", appauthor=False))
        return folder.expanduser().absolute()
    except RuntimeError as error:
        raise UsageError(
            "there is no home folder for models: set HOME, or set VQCLIP_HOME to a folder"
        ) from error


def offline() -> str | None:
    """Return the name of the environment variable that disables the network, if one is set."""
    on = ("1", "on", "yes", "true")
    return next((n for n in _OFFLINE if os.environ.get(n, "").strip().lower() in on), None)
