"""The catalogue of downloadable models: published ones and the user's own."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from vqclip.errors import UsageError
from vqclip.files.environment import home
from vqclip.files.safe_yaml import read_yaml
from vqclip.hub.catalogue.entries import CatalogueEntry, parse_entry
from vqclip.registry import unknown


def user_file() -> Path:
    """Return the path of the user's catalogue, which may not exist."""
    return home() / "catalogue.yaml"


def catalogue() -> dict[str, CatalogueEntry]:
    """Return every entry by name; the user's entries override the published ones.

    Raises:
        VqclipError: the user's catalogue cannot be read.
    """
    own = user_file()
    return {**_published(), **(_read(own) if own.is_file() else {})}


def known_entry(name: str) -> CatalogueEntry:
    """Return the entry with this name.

    Raises:
        UsageError: the name is unknown.
        VqclipError: the user's catalogue cannot be read.
    """
    entries = catalogue()
    if name not in entries:
        raise unknown("model", name, entries)
    return entries[name]


@cache
def _published() -> Mapping[str, CatalogueEntry]:
    return _read(Path(__file__).parent / "models.yaml")


def _read(path: Path) -> dict[str, CatalogueEntry]:
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise UsageError(f"{path} is not a catalogue: it must be a mapping of names to models")
    return {
        str(name): parse_entry(str(name), values, str(path)) for name, values in content.items()
    }
