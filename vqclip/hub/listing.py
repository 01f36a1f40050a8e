"""Named models: built-in, stored on this computer, or downloadable."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vqclip.config.checks import one_of
from vqclip.errors import UsageError
from vqclip.files.embedded import weights_folder
from vqclip.hub import store
from vqclip.hub.catalogue import catalogue
from vqclip.hub.catalogue.entries import CatalogueEntry
from vqclip.hub.store import StoredModel

EMBEDDED, MISSING, DAMAGED = "built-in", "missing", "damaged"
_KINDS = ("vqgan", "clip", "transformer")
_OWN = "yours, for any purpose"


@dataclass(frozen=True)
class Item:
    """A named model.

    state: built-in, downloaded, imported, missing, or damaged (its record cannot be read).
    size: size in bytes, on disk or, for a missing model, of the download; None if unknown.
    """

    name: str
    kind: str
    state: str
    size: int | None
    about: str = ""
    folder: Path | None = None
    entry: CatalogueEntry | None = None
    model: StoredModel | None = None

    @property
    def licence(self) -> str | None:
        """The licence of the weights, if known."""
        return "MIT" if self.state == EMBEDDED else self.entry.licence if self.entry else None

    @property
    def results(self) -> str | None:
        """The terms of use for images made with the model, if known."""
        return _OWN if self.state == EMBEDDED else self.entry.results if self.entry else None

    def to_dict(self) -> dict[str, Any]:
        """Return the item as JSON values for scripts."""
        entry, record = self.entry, self.model.record if self.model else {}
        return {
            "name": self.name,
            "kind": self.kind,
            "class": record.get("class") or (entry.model_class if entry else None),
            "state": self.state,
            "size": self.size,
            "about": self.about,
            "tasks": list(entry.tasks) if entry else [],
            "licence": self.licence,
            "results": self.results,
            "path": str(self.folder) if self.folder else None,
            "sha256": _published_hash(entry),
            "files": dict(record.get("sha256", {})),
            "origin": record.get("origin"),
            "sources": [source.url for source in entry.checkpoint] if entry else [],
            "configs": [source.url for source in entry.config] if entry else [],
            "page": entry.page if entry else None,
        }


def _published_hash(entry: CatalogueEntry | None) -> str | None:
    hashes = {source.sha256 for source in entry.checkpoint} if entry else set()
    return hashes.pop() if len(hashes) == 1 else None


def list_models(kind: str | None = None) -> list[Item]:
    """Return all named models: built-in, then in the catalogue, then the user's other models.

    Models that are not downloaded yet are included.

    kind: list only models of this kind: ``vqgan``, ``clip`` or ``transformer``.

    Raises:
        UsageError: the kind is unknown.
        VqclipError: the user's catalogue cannot be read.
    """
    if kind is not None:
        one_of("kind", kind, _KINDS)
    entries, kept = catalogue(), {model.name: model for model in store.models()}
    known = [_item(name, entry, kept.pop(name, None)) for name, entry in entries.items()]
    own = [_item(name, None, model) for name, model in kept.items()]
    return [item for item in (*_embedded(), *known, *own) if kind in (None, item.kind)]


def _embedded() -> Iterator[Item]:
    try:
        folders = [weights_folder() / kind for kind in _KINDS]
    except UsageError:
        return
    for folder in folders:
        if folder.is_dir():
            size = sum(path.stat().st_size for path in folder.iterdir())
            about = "the default model"
            yield Item("default", folder.name, EMBEDDED, size, about, folder)


def _item(name: str, entry: CatalogueEntry | None, model: StoredModel | None) -> Item:
    about = entry.about if entry else ""
    if model is None:
        assert entry is not None
        return Item(name, entry.kind, MISSING, entry.expected_size, about, None, entry)
    state = str(model.record.get("state", DAMAGED))
    size = model.record.get("size")
    return Item(name, model.kind, state, size, about, model.folder, entry, model)
