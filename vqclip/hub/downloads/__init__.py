"""Resumable, verified downloads that leave a complete file or no file."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx2

from vqclip.errors import VqclipError
from vqclip.files.environment import offline
from vqclip.files.hashing import weights_hash
from vqclip.hub.catalogue.entries import Source
from vqclip.hub.downloads.part import Part
from vqclip.hub.downloads.transfer import (
    ByteProgress,
    DiskFullError,
    DownloadError,
    PassingError,
    Patience,
    new_client,
    transfer,
)


@dataclass(frozen=True)
class DownloadRequest:
    """A file to download.

    path: destination of the file.
    size: size of the file in bytes, if known.
    known: SHA-256 of the file from an earlier download, if any.
    check: function that raises a :class:`VqclipError` if the content of the file is wrong.
    """

    path: Path
    sources: Sequence[Source]
    check: Callable[[Path], object]
    size: int | None = None
    known: str | None = None


@dataclass(frozen=True)
class Listener:
    """Callbacks for a download.

    progress: called after every block.
    note: called with a message when an attempt or a source fails.
    """

    progress: ByteProgress
    note: Callable[[str], None]


@dataclass(frozen=True)
class Fetched:
    """A downloaded file's source and SHA-256."""

    source: Source
    sha256: str


def download(
    wanted: DownloadRequest, listener: Listener, patience: Patience | None = None
) -> Fetched:
    """Download a file completely or not at all, resuming any earlier attempt.

    Raises:
        DownloadError: no source has the file, the disk is full, or network access is disabled.
    """
    if wanted.path.exists() and (fetched := _fetched_before(wanted)):
        return fetched
    if variable := offline():
        raise DownloadError(f"network access is disabled by {variable}: unset it")
    patience = patience or Patience()
    wanted.path.parent.mkdir(parents=True, exist_ok=True)
    reasons: list[str] = []
    with new_client(patience) as client:
        for source in wanted.sources:
            try:
                return _fetch(client, source, wanted, listener, patience)
            except DiskFullError:
                raise
            except DownloadError as error:
                reasons.append(f"{source.host}: {error}")
                listener.note(reasons[-1])
    raise DownloadError("; ".join(dict.fromkeys(reasons)) or "it has no address")


def _fetched_before(wanted: DownloadRequest) -> Fetched | None:
    """Return the result of an earlier download, or None if its source is no longer listed."""
    origin = Part(wanted.path).origin()
    source = next((s for s in wanted.sources if origin and s.url == origin.url), None)
    return Fetched(source, weights_hash(wanted.path)) if source else None


def _fetch(
    client: httpx2.Client,
    source: Source,
    wanted: DownloadRequest,
    listener: Listener,
    patience: Patience,
) -> Fetched:
    part = Part(wanted.path)
    _transfer_patiently(client, source, part, wanted.size, listener, patience)
    try:
        digest = _verified(part, source, wanted)
    except DownloadError:
        part.discard()
        raise
    part.finish()
    return Fetched(source, digest)


def _transfer_patiently(
    client: httpx2.Client,
    source: Source,
    part: Part,
    size: int | None,
    listener: Listener,
    patience: Patience,
) -> None:
    """Repeat the transfer until the file is complete or too many attempts have made no progress."""
    vain, furthest = 0, part.size
    while True:
        try:
            return transfer(client, source, part, size, listener.progress)
        except PassingError as error:
            vain = 1 if part.size > furthest else vain + 1
            furthest = max(furthest, part.size)
            if vain >= patience.attempts:
                raise DownloadError(f"{error}, {vain} times in a row") from error
            wait = patience.pause * 2 ** (vain - 1) if error.wait is None else error.wait
            listener.note(f"{source.host}: {error}; trying again in {wait:.0f} s")
            time.sleep(wait)


def _verified(part: Part, source: Source, wanted: DownloadRequest) -> str:
    """Verify the downloaded file and return its hash."""
    if wanted.size is not None and part.size != wanted.size:
        raise DownloadError(
            f"received {part.size:,} bytes instead of {wanted.size:,}: this is a different file"
        )
    try:
        wanted.check(part.path)
    except VqclipError as error:
        raise DownloadError(str(error).replace(str(part.path), "the file")) from error
    digest = weights_hash(part.path)
    if source.sha256 is not None and digest != source.sha256:
        raise DownloadError(
            f"the file has sha256 {digest[:12]}…, not {source.sha256[:12]}…: it is a different file"
        )
    if source.sha256 is None and wanted.known is not None and digest != wanted.known:
        raise DownloadError(
            f"the file differs from the previous download (sha256 {digest[:12]}…, "
            f"previously {wanted.known[:12]}…); if you trust it, add `trust`"
        )
    return digest
