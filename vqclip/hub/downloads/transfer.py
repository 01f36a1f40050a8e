"""A single HTTP request for a file or the rest of it, and checks of the response."""

import errno
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass

import httpx2

from vqclip.errors import VqclipError, one_line, reason_of
from vqclip.files.filetypes import is_web_page
from vqclip.files.formatting import readable
from vqclip.hub.catalogue.entries import Source
from vqclip.hub.downloads.part import Origin, Part

_LATER = (408, 425, 429, 500, 502, 503, 504)
_FULL = (errno.ENOSPC, errno.EDQUOT)
_RANGE = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)")
_LONGEST_WAIT = 60.0
_LONGEST_REASON = 150  # characters
_PAGE = "it sent a web page instead of the file"

ByteProgress = Callable[[int, int | None], None]  # bytes so far; total bytes, if known


class DownloadError(VqclipError):
    """A file could not be downloaded, or its content is not as expected."""


class DiskFullError(DownloadError):
    """The disk has no room for the file, so no other source can help."""


class PassingError(Exception):
    """A temporary failure; ``wait`` is the delay in seconds that the server requested, if any."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


@dataclass(frozen=True)
class Patience:
    """Limits on attempts and waiting times.

    attempts: maximum number of consecutive attempts without progress.
    pause: seconds to wait after the first attempt without progress. The wait doubles after each
        further attempt.
    timeout: seconds to wait for a connection or for the next byte.
    """

    attempts: int = 5
    pause: float = 1.0
    timeout: float = 30.0


def new_client(patience: Patience) -> httpx2.Client:
    """Return a client that uses the environment's proxies and follows redirects.

    Compression is off, so that byte ranges refer to the file itself.

    Raises:
        DownloadError: the environment's proxy or certificates cannot be used.
    """
    headers = {"User-Agent": "vqclip", "Accept-Encoding": "identity"}
    try:
        return httpx2.Client(headers=headers, timeout=patience.timeout, follow_redirects=True)
    except (ImportError, OSError, ValueError, httpx2.InvalidURL) as error:
        reason = one_line(error, _LONGEST_REASON)
        raise DownloadError(
            f"the proxy or certificates set in the environment cannot be used: {reason}"
        ) from error


def transfer(
    client: httpx2.Client, source: Source, part: Part, size: int | None, progress: ByteProgress
) -> None:
    """Download the file, or the rest of it, into ``part``.

    size: size of the complete file in bytes, if known.

    Raises:
        PassingError: the failure is temporary, so another attempt may succeed.
        DownloadError: the file cannot be downloaded from this source.
        DiskFullError: the disk has no room for the file.
    """
    try:
        with client.stream("GET", source.url, headers=_range(source, part)) as response:
            if not _is_complete(response, part):
                total = _begin(response, source, part, size)
                _receive(response, part, total, progress)
    except httpx2.TransportError as error:
        raise _explained(error) from error
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise DownloadError(one_line(error, _LONGEST_REASON)) from error


def _range(source: Source, part: Part) -> dict[str, str]:
    """Return headers that request only the rest of the file, provided that it is unchanged."""
    origin = part.origin()
    same = origin is not None and origin.url == source.url
    if not part.size or origin is None or not same or not (origin.validator or source.sha256):
        return {}
    headers = {"Range": f"bytes={part.size}-"}
    return {**headers, "If-Range": origin.validator} if origin.validator else headers


def _is_complete(response: httpx2.Response, part: Part) -> bool:
    """Return whether the part is already complete, according to the server."""
    if response.status_code != 416:
        return False
    found = _RANGE.fullmatch(response.headers.get("content-range", ""))
    if found and found[2] == str(part.size):
        return True
    part.discard()
    raise PassingError("it has no such part of the file")


def _begin(response: httpx2.Response, source: Source, part: Part, size: int | None) -> int | None:
    """Check the response headers, prepare ``part`` for the body, and return the full size."""
    _check_status(response)
    start, total = _extent(response)
    if start and start != part.size:
        part.discard()
        raise PassingError("it sent a different part of the file")
    if size is not None and total is not None and total != size:
        is_page = "html" in response.headers.get("content-type", "")
        raise DownloadError(
            _PAGE
            if is_page
            else f"the file there has {total:,} bytes, not {size:,}: it is a different file"
        )
    _check_room(part, total or size, start)
    if not start:
        part.restart(Origin(source.url, _validator(response)))
    return total or size


def _check_status(response: httpx2.Response) -> None:
    status = f"it answered {response.status_code} {response.reason_phrase}".rstrip()
    if response.status_code in _LATER:
        raise PassingError(status, _retry_after(response))
    if response.status_code not in (200, 206):
        raise DownloadError(status)


def _retry_after(response: httpx2.Response) -> float | None:
    text = response.headers.get("retry-after", "")
    return min(float(text), _LONGEST_WAIT) if text.isdecimal() else None


def _extent(response: httpx2.Response) -> tuple[int, int | None]:
    """Return the body's offset in the file, and the file's size if the server reports it."""
    if response.status_code == 206:
        found = _RANGE.fullmatch(response.headers.get("content-range", ""))
        if found is None or found[1] is None:
            raise PassingError("it sent an unspecified part of the file")
        return int(found[1]), int(found[2]) if found[2] != "*" else None
    length = response.headers.get("content-length", "")
    plain = response.headers.get("content-encoding", "identity") == "identity"
    return 0, int(length) if plain and length.isdecimal() else None


def _validator(response: httpx2.Response) -> str | None:
    etag = response.headers.get("etag", "")
    if etag and not etag.startswith("W/"):  # a weak ETag does not guarantee identical bytes
        return str(etag)
    return response.headers.get("last-modified") or None


def _check_room(part: Part, total: int | None, start: int) -> None:
    free = shutil.disk_usage(part.path.parent).free
    needed = (total or 0) - start
    if needed > free:
        raise DiskFullError(
            f"{readable(needed)} must still be downloaded, but {part.path.parent} has only "
            f"{readable(free)} free: free some space, or choose another disk with VQCLIP_HOME"
        )


def _receive(
    response: httpx2.Response, part: Part, total: int | None, progress: ByteProgress
) -> None:
    done = part.size
    progress(done, total)
    with part.path.open("ab") as file:
        for block in response.iter_bytes():
            if not done and is_web_page(block):
                part.discard()
                raise DownloadError(_PAGE)
            try:
                file.write(block)
            except OSError as error:
                raise _unwritable(part, error) from error
            done += len(block)
            progress(done, total)
    if total is not None and done < total:
        raise PassingError(f"it ended after {done:,} of {total:,} bytes")


def _unwritable(part: Part, error: OSError) -> DownloadError:
    if error.errno in _FULL:
        return DiskFullError(
            f"the disk that contains {part.path.parent} is full: free some space and run the "
            "command again to continue, or choose another disk with VQCLIP_HOME"
        )
    return DiskFullError(f"cannot write {part.path}: {reason_of(error)}")


def _explained(error: httpx2.TransportError) -> Exception:
    text = one_line(error, _LONGEST_REASON)
    if isinstance(error, httpx2.TimeoutException):
        return PassingError("it stopped responding")
    if isinstance(error, httpx2.UnsupportedProtocol) or "certificate" in text.lower():
        return DownloadError(text)
    if isinstance(error, httpx2.ConnectError):
        return PassingError(f"no connection; is this computer online? ({text})")
    return PassingError(f"the connection was lost ({text})")
