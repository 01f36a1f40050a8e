"""The store of downloaded and imported models on this computer.

Layout below :func:`vqclip.files.environment.home`::

    models/NAME/    model.safetensors, config.yaml, record.json (CLIP: open_clip's layout)
    downloads/      unfinished downloads
    hashes/         one .json per name, with hashes of its downloaded files
    locks/          held while a model is being installed
"""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from vqclip.errors import CheckpointError, UsageError, VqclipError, reason_of
from vqclip.files.atomic import replacing, replacing_folder
from vqclip.files.environment import home
from vqclip.files.hashing import weights_hash
from vqclip.files.locking import locked
from vqclip.hub.catalogue.entries import check_model_name

DOWNLOADED, IMPORTED = "downloaded", "imported"
WEIGHTS, CONFIG, RECORD = "model.safetensors", "config.yaml", "record.json"
ORIGINAL = "original"


@dataclass(frozen=True)
class StoredModel:
    """A model in the store, with its folder and its record.

    The record holds ``kind``, ``state`` (downloaded or imported), ``size`` in bytes, ``date``,
    the ``sha256`` of each file, and ``origin``.
    """

    name: str
    folder: Path
    record: Mapping[str, Any]

    @property
    def weights(self) -> Path:
        """The weight file."""
        return self.folder / str(self.record.get("weights", WEIGHTS))

    @property
    def kind(self) -> str:
        """The kind of model: vqgan, transformer or clip."""
        return str(self.record.get("kind", "unknown"))


def models_folder() -> Path:
    """Return the folder that contains all model folders."""
    return home() / "models"


def downloads_folder() -> Path:
    """Return the folder for unfinished downloads."""
    return home() / "downloads"


def find(name: str) -> StoredModel | None:
    """Return the model with this name, or None if there is none.

    Raises:
        VqclipError: the model's record cannot be read.
    """
    try:
        folder = models_folder() / check_model_name(name)
    except UsageError:
        return None
    return _read(folder) if folder.is_dir() else None


def models() -> list[StoredModel]:
    """Return all models, sorted by name; a model's record is empty if it cannot be read."""
    if not models_folder().is_dir():
        return []
    folders = sorted(p for p in models_folder().iterdir() if p.is_dir() and p.name[0] != ".")
    return [_read(folder, strict=False) for folder in folders]


def _read(folder: Path, *, strict: bool = True) -> StoredModel:
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        if not isinstance(record, dict):
            raise TypeError("no mapping")
    except (OSError, ValueError, TypeError) as error:
        if strict:
            raise VqclipError(
                f"the record of {folder.name} cannot be read ({error}): run vqclip weights "
                f"remove {folder.name}, then get or import it again"
            ) from error
        record = {}
    return StoredModel(folder.name, folder, record)


def check(model: StoredModel) -> None:
    """Check that a model's files have not changed.

    Raises:
        CheckpointError: a file is missing or has changed.
    """
    again = f"vqclip weights remove {model.name}, then get or import it again"
    for file, expected in model.record.get("sha256", {}).items():
        path = model.folder / file
        if not path.is_file():
            raise CheckpointError(f"the file {path.name} of {model.name} is missing: {again}")
        if weights_hash(path) != expected:
            raise CheckpointError(
                f"{path} has changed since it was saved (sha256 {weights_hash(path)[:12]}…, "
                f"not {expected[:12]}…): {again}"
            )


@contextmanager
def adding(name: str, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield an empty folder that becomes the model's folder on success and is removed otherwise.

    The caller must hold the model's lock; see :func:`holding`.

    Raises:
        UsageError: the name is taken or invalid.
    """
    place = models_folder() / check_model_name(name)
    if place.exists() and not overwrite:
        raise UsageError(
            f"a model named {place.name!r} already exists: choose another `name`, "
            "or add `overwrite`"
        )
    with replacing_folder(place) as folder:
        yield folder


def write_record(folder: Path, **values: Any) -> None:
    """Write the record for the model in ``folder``, with the date and hashes of its files."""
    files = sorted(p for p in folder.iterdir() if p.is_file() and p.name != RECORD)
    record = {
        **values,
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "size": sum(p.stat().st_size for p in files),
        "sha256": {p.name: weights_hash(p) for p in files},
    }
    (folder / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def discard(folder: Path) -> None:
    """Delete a folder in the store; other processes never see it partly deleted.

    Raises:
        VqclipError: the folder cannot be deleted.
    """
    aside = folder.with_name(f".{folder.name}.old")
    try:
        shutil.rmtree(aside, ignore_errors=True)
        folder.rename(aside)
        shutil.rmtree(aside)
    except OSError as error:
        raise VqclipError(f"cannot remove {folder}: {reason_of(error)}") from error


def known_hash(name: str, part: str) -> str | None:
    """Return the recorded hash of a model's downloaded ``checkpoint`` or ``config``, or None.

    Raises:
        VqclipError: the hash file cannot be read.
    """
    value = _hashes(name).get(part)
    return str(value) if value else None


def remember_hash(name: str, part: str, digest: str) -> None:
    """Record a file's hash for checking later downloads; the caller must hold the lock."""
    hashes = {**_hashes(name), part: digest}
    with replacing(_hash_file(name), overwrite=True) as temporary:
        temporary.write_text(json.dumps(hashes, indent=1) + "\n", encoding="utf-8")


def _hash_file(name: str) -> Path:
    return home() / "hashes" / f"{check_model_name(name)}.json"


def _hashes(name: str) -> dict[str, Any]:
    path = _hash_file(name)
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}
    except (OSError, ValueError, TypeError) as error:
        raise VqclipError(f"cannot read {path} ({error}): repair or delete it") from error


@contextmanager
def holding(name: str, waiting: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock of the model ``name``, waiting for any other process that holds it.

    waiting: called, before the wait, with the id of the process that holds the lock.

    Raises:
        VqclipError: vqclip's folder is not writable.
    """
    locks = home() / "locks"
    with ExitStack() as stack:
        try:
            locks.mkdir(parents=True, exist_ok=True)
            stack.enter_context(locked(locks / f"{check_model_name(name)}.lock", waiting))
        except OSError as error:
            raise VqclipError(
                f"cannot write to {home()}: {reason_of(error)}; "
                "choose another folder with VQCLIP_HOME"
            ) from error
        yield
