"""The embedded models: their folder, and whether they are complete."""

from pathlib import Path

from vqclip.errors import UsageError


def weights_folder() -> Path:
    """The folder of the embedded models: in an installed package, or in a source checkout.

    Raises:
        UsageError: the installation lacks it.

    """
    package = Path(__file__).parents[1]
    for folder in (package / "weights", package.parent / "weights"):
        if (folder / "vqgan").is_dir():
            return folder
    raise UsageError("the embedded models are missing; install vqclip again")


def has_transformer() -> bool:
    """Whether there is a transformer among them, to draft images with."""
    try:
        return (weights_folder() / "transformer").is_dir()
    except UsageError:
        return False
