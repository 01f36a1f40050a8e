"""Installation of named models, by download or import."""

import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from vqclip.errors import CheckpointError
from vqclip.files.atomic import replacing, writing
from vqclip.files.formatting import readable
from vqclip.hub import store
from vqclip.hub.catalogue import known_entry
from vqclip.hub.catalogue.entries import CatalogueEntry, check_model_name
from vqclip.hub.downloads import DownloadRequest, Listener, download
from vqclip.hub.downloads.transfer import DiskFullError, DownloadError, Patience
from vqclip.hub.loaders import load_perceptor
from vqclip.hub.model_files import ModelConfig, SelfContained, config_for, read_config, recognise
from vqclip.hub.model_files.importing import Converted, convert
from vqclip.hub.paths import vqgan_path
from vqclip.hub.references import referred_stages, self_contained
from vqclip.hub.store import StoredModel

_CLIP_CONFIG = "open_clip_config.json"


@dataclass(frozen=True)
class Installed:
    """A model that is now in the store.

    new: whether the model was just installed, rather than already in the store.
    """

    model: StoredModel
    new: bool


def get(
    name: str,
    listener: Listener,
    patience: Patience | None = None,
    *,
    trust: bool = False,
    keep: bool = False,
) -> Installed:
    """Download a model from the catalogue, unless it is already stored.

    If another process is already downloading the model, wait for it.

    trust: whether to accept files that differ from those downloaded before.
    keep: whether to keep the downloaded checkpoint as well, in the model's folder.

    Raises:
        UsageError: the name is unknown or the model cannot be downloaded automatically.
        DownloadError: the download failed; the next attempt resumes it.
        CheckpointError: the downloaded file is damaged or does not contain a supported model.
    """
    entry = known_entry(name)
    with store.holding(name, partial(_note_waiting, name, listener)):
        if model := store.find(name):
            return Installed(model, False)
        entry.check_fetchable()
        try:
            return _make(entry, listener, patience, trust, keep)
        except DiskFullError:
            raise
        except DownloadError as error:
            raise type(error)(f"cannot download {name}: {error}. {entry.by_hand}") from error
        except CheckpointError as error:
            raise type(error)(
                f"{error}; the downloaded part is kept (to delete it, run vqclip weights remove "
                f"{name})"
            ) from error


def _note_waiting(name: str, listener: Listener, process: str) -> None:
    listener.note(
        f"another vqclip (process {process}) is downloading {name}; waiting for it to finish"
    )


def _make(
    entry: CatalogueEntry, listener: Listener, patience: Patience | None, trust: bool, keep: bool
) -> Installed:
    """Download and convert a model's config and checkpoint; the caller must hold the lock."""
    place = store.downloads_folder() / entry.name
    checkpoint, config = place / "checkpoint", place / store.CONFIG
    fetched = {}
    for part, path in (("config", config), ("checkpoint", checkpoint)):
        if wanted := _download_request(entry, part, path, trust):
            fetched[part] = download(wanted, listener, patience)
    member = fetched["checkpoint"].source.member
    original = _unpacked(checkpoint, member) if member else checkpoint
    with store.adding(entry.name) as folder:
        converted = convert(original, config if entry.config else None, folder)
        origin = {
            part: {"url": came.source.url, "sha256": came.sha256} for part, came in fetched.items()
        }
        store.write_record(folder, **_record(converted, store.DOWNLOADED, origin))
        if keep:
            (folder / store.ORIGINAL).mkdir()
            shutil.move(original, folder / store.ORIGINAL / f"{entry.name}.ckpt")
    for part, came in fetched.items():
        store.remember_hash(entry.name, part, came.sha256)
    shutil.rmtree(place, ignore_errors=True)
    return _supplied(entry.name)


def _download_request(
    entry: CatalogueEntry, part: str, path: Path, trust: bool
) -> DownloadRequest | None:
    known = None if trust else store.known_hash(entry.name, part)
    if part == "config":
        return (
            DownloadRequest(path, entry.config, read_config, known=known) if entry.config else None
        )
    members = {source.member for source in entry.checkpoint}
    check = recognise if members == {None} else partial(_check_archive, members)
    return DownloadRequest(path, entry.checkpoint, check, entry.size, known)


def _check_archive(members: set[str | None], path: Path) -> None:
    """Raise CheckpointError unless a file is a zip that contains one of ``members``.

    If ``members`` contains None, the file may also be a checkpoint.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if members & {*archive.namelist()}:
                return
    if None not in members:
        raise CheckpointError(
            f"it is not a zip file that contains {' or '.join(map(str, members))}"
        )
    recognise(path)


def _unpacked(archive: Path, member: str) -> Path:
    """Unpack one member of a zip file into the same folder, and return the new file's path."""
    place = archive.with_name("member")
    try:
        with zipfile.ZipFile(archive) as content:
            info = content.getinfo(member)
            free = shutil.disk_usage(archive.parent).free
            if info.file_size > free:
                raise DownloadError(
                    f"the unpacked file takes {readable(info.file_size)}, but {archive.parent} "
                    f"has only {readable(free)} free: free some space and run the command again"
                )
            with (
                writing(),
                replacing(place, overwrite=True) as temporary,
                content.open(info) as source,
                temporary.open("wb") as target,
            ):
                shutil.copyfileobj(source, target, 1 << 20)
    except (zipfile.BadZipFile, KeyError, NotImplementedError, RuntimeError) as error:
        raise CheckpointError(f"cannot unpack {member} from {archive}: {error}") from error
    return place


def _record(converted: Converted, state: str, origin: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "kind": converted.kind,
        "state": state,
        "class": converted.target.rpartition(".")[2],
        "parameters": converted.parameters,
        "dropped": dict(converted.dropped),
        "looks_like": list(converted.looks_like),
        "rgb": converted.rgb,
        "origin": origin,
    }


def _supplied(name: str) -> Installed:
    model = store.find(name)
    assert model is not None
    return Installed(model, True)


def import_model(
    source: Path, name: str, config: Path | None = None, *, half: bool = False, overwrite: bool
) -> Installed:
    """Convert a checkpoint, or the checkpoint in a folder, and store the result as ``name``.

    A folder in open_clip's layout, with an ``open_clip_config.json``, is copied without conversion.

    Raises:
        UsageError: the file does not exist, or the name is taken or invalid.
        CheckpointError: the file is not a supported model, is damaged, or would run code.
    """
    with store.holding(check_model_name(name), lambda _: None):
        if (source / _CLIP_CONFIG).is_file():
            return _import_clip(source, name, overwrite)
        checkpoint = vqgan_path(source)
        with store.adding(name, overwrite=overwrite) as folder:
            whole = _self_contained(config_for(checkpoint, config))
            converted = convert(checkpoint, config, folder, half=half, whole=whole)
            origin = {"path": str(checkpoint.absolute())}
            store.write_record(folder, **_record(converted, store.IMPORTED, origin))
        return _supplied(name)


def _self_contained(own: ModelConfig | None) -> SelfContained | None:
    """Return a self-contained config, or None if the config refers to no VQGANs."""
    if own is None or not (vqgans := referred_stages(own)):
        return None
    return self_contained(own, vqgans)


def _import_clip(source: Path, name: str, overwrite: bool) -> Installed:
    weights = load_perceptor(source).weights  # loading the model also checks it
    with store.adding(name, overwrite=overwrite) as folder:
        with writing():
            for file in (source / _CLIP_CONFIG, weights):
                shutil.copyfile(file, folder / file.name)
        store.write_record(
            folder,
            kind="clip",
            state=store.IMPORTED,
            weights=weights.name,
            origin={"path": str(source.absolute())},
        )
    return _supplied(name)


def default_model_name(source: Path) -> str:
    """Return a name for an imported file: its own or, if that is too generic, its folder's.

    >>> default_model_name(Path("logs/2021-04-03T19-39-50_cin_transformer/checkpoints/last.ckpt"))
    '2021-04-03T19-39-50_cin_transformer'
    """
    path, common = source, {"last", "model", "checkpoints", "ckpts", "best", ""}
    while path.stem in common and path.parent != path:
        path = path.parent if path.parent != Path() else path.absolute().parent
    stem = path.name if path.is_dir() or path != source else path.stem
    return "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in stem)[:64]
