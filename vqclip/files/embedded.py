"""The folder of the built-in models, and the models it contains."""

from pathlib import Path

from vqclip.errors import UsageError


def weights_folder() -> Path:
    """Return the folder of the built-in models, whether vqclip is installed or run from source.

    Raises:
        UsageError: the installation lacks the folder.
    """
    package = Path(__file__).parents[1]
    for folder in (package / "weights", package.parent / "weights"):
        if (folder / "vqgan").is_dir():
            return folder
    raise UsageError("the built-in models are missing: install vqclip again")


def has_transformer() -> bool:
    """Return whether the built-in models include a transformer for drafting images."""
    try:
        return (weights_folder() / "transformer").is_dir()
    except UsageError:
        return False
