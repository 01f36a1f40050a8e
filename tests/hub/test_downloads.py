"""Files from a misbehaving server arrive complete, or not at all and with a reason."""

import errno
import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.servers import PAGE, Server, serving
from vqclip.errors import CheckpointError
from vqclip.hub.catalogue.entries import Source
from vqclip.hub.downloads import DownloadRequest, Fetched, Listener, download
from vqclip.hub.downloads.part import Part
from vqclip.hub.downloads.transfer import DownloadError, Patience

CONTENT = bytes(range(256)) * 1200  # 300 KiB
DIGEST = hashlib.sha256(CONTENT).hexdigest()
PLACE = Path("files/weights.ckpt")
QUICK = Patience(attempts=3, pause=0.01, timeout=5)


class Told:
    """Records the calls of a listener."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.progress: list[tuple[int, int | None]] = []
        self.listener = Listener(lambda *at: self.progress.append(at), self.notes.append)


def fetch(
    *urls: str | Source,
    told: Told | None = None,
    patience: Patience = QUICK,
    check: Callable[[Path], object] = lambda _: None,
    **wanted: Any,
) -> Fetched:
    sources = [url if isinstance(url, Source) else Source(url) for url in urls]
    listener = (told or Told()).listener
    return download(DownloadRequest(PLACE, sources, check, **wanted), listener, patience)


def refused(*urls: str | Source, **options: Any) -> str:
    """Return the one-line reason for the failure, and check that there is no file."""
    with pytest.raises(DownloadError) as caught:
        fetch(*urls, **options)
    assert not PLACE.exists()
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_file_arrives_with_progress(server: Server) -> None:
    told = Told()
    fetched = fetch(server.add("/a", CONTENT), told=told, size=len(CONTENT))
    assert PLACE.read_bytes() == CONTENT
    assert fetched.sha256 == DIGEST
    assert told.progress[0] == (0, len(CONTENT))
    assert told.progress[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in told.progress] == sorted(done for done, _ in told.progress)
    assert fetch(server.url("/a")) == fetched  # nothing is downloaded twice
    assert len(server.requests) == 1


def test_broken_connection_is_resumed(server: Server) -> None:
    told = Told()
    fetch(server.add("/a", CONTENT, drops=[70_000, 90_000, 1000, 50_000]), told=told)
    assert PLACE.read_bytes() == CONTENT
    assert server.sent("/a") == len(CONTENT)
    assert [r["range"] for r in server.requests][:3] == [None, "bytes=70000-", "bytes=160000-"]
    assert "trying again" in told.notes[0]


def test_broken_connections_are_retried_while_there_is_progress(server: Server) -> None:
    fetch(server.add("/a", CONTENT, drops=[30_000] * 9))
    assert PLACE.read_bytes() == CONTENT


def test_server_that_ignores_ranges(server: Server) -> None:
    fetch(server.add("/a", CONTENT, ranges=False, drops=[70_000, 90_000]))
    assert PLACE.read_bytes() == CONTENT
    assert server.sent("/a") == len(CONTENT) + 160_000


def test_changed_file_is_not_spliced(server: Server) -> None:
    url = server.add("/a", b"x" * len(CONTENT), drops=[70_000, 0, 0])
    assert "3 times in a row" in refused(url)
    assert Part(PLACE).size == 70_000
    server.add("/a", CONTENT, etag='"2"')
    fetch(url)
    assert PLACE.read_bytes() == CONTENT


def test_weak_etag_is_not_trusted(server: Server) -> None:
    fetch(server.add("/a", CONTENT, etag='W/"1"', drops=[70_000]))
    assert PLACE.read_bytes() == CONTENT
    assert server.requests[1]["range"] is None


def test_known_hash_replaces_a_missing_etag(server: Server) -> None:
    fetch(Source(server.add("/a", CONTENT, etag=None, drops=[70_000]), DIGEST))
    assert PLACE.read_bytes() == CONTENT
    assert server.requests[1]["range"] == "bytes=70000-"


def test_part_that_is_already_complete(server: Server) -> None:
    url = server.add("/a", CONTENT, drops=[70_000, 0, 0])
    refused(url)
    Part(PLACE).path.write_bytes(CONTENT)
    fetch(url)
    assert server.requests[-1]["status"] == 416
    assert PLACE.read_bytes() == CONTENT


def test_part_that_is_too_long_is_discarded(server: Server) -> None:
    url = server.add("/a", CONTENT, drops=[70_000, 0, 0])
    refused(url)
    Part(PLACE).path.write_bytes(CONTENT + b"more")
    fetch(url)
    assert PLACE.read_bytes() == CONTENT


def test_declared_length_too_long(server: Server) -> None:
    message = refused(server.add("/a", CONTENT, claims=len(CONTENT) + 9, ranges=False))
    assert "connection was lost" in message
    assert "127.0.0.1" in message
    fetch(server.add("/b", CONTENT, claims=len(CONTENT) + 9))  # then it has no more to send
    assert PLACE.read_bytes() == CONTENT


def test_declared_length_too_short(server: Server) -> None:
    url = server.add("/a", CONTENT, claims=1000)
    assert "has 1,000 bytes, not 307,200" in refused(url, size=len(CONTENT))
    assert "sha256" in refused(Source(url, DIGEST))


def test_a_web_page_with_status_200(server: Server) -> None:
    url = server.add("/a", PAGE, kind="text/html")
    assert "web page" in refused(url)
    assert "web page" in refused(url, size=len(CONTENT))
    assert "web page" in refused(server.add("/b", b"\n\n<html>" + CONTENT))
    assert not [p for p in Path().rglob("*") if p.is_file()]


def test_mirrors_in_order(server: Server) -> None:
    told = Told()
    page = server.add("/page", PAGE)
    other = server.add("/other", b"another file")
    right = server.add("/right", CONTENT)
    urls = [server.url("/gone"), page, Source(other, DIGEST), Source(right, DIGEST)]
    assert fetch(*urls, told=told).source.url == right
    assert [r["path"] for r in server.requests] == ["/gone", "/page", "/other", "/right"]
    assert PLACE.read_bytes() == CONTENT
    assert "404" in told.notes[0]


def test_part_survives_the_failure_of_another_mirror(server: Server) -> None:
    url = server.add("/a", CONTENT, drops=[70_000, 0, 0])
    refused(url, server.url("/gone"))
    fetch(url)
    assert server.sent("/a") == len(CONTENT)


def test_all_reasons_are_reported(server: Server) -> None:
    message = refused(server.url("/gone"), server.add("/page", PAGE))
    assert "404" in message
    assert "web page" in message


def test_a_busy_server(server: Server) -> None:
    fetch(server.add("/a", CONTENT, statuses=[503, 429]))
    assert PLACE.read_bytes() == CONTENT
    assert "it answered 503" in refused_again(server)


def refused_again(server: Server) -> str:
    PLACE.unlink()
    return refused(server.add("/b", CONTENT, statuses=[503] * 9))


@pytest.mark.slow
def test_a_silent_server(server: Server) -> None:
    brief = Patience(attempts=2, pause=0.01, timeout=0.2)
    url = server.add("/a", CONTENT, stalls=[0.6, 0, 0])
    fetch(url, patience=brief)
    assert PLACE.read_bytes() == CONTENT
    PLACE.unlink()
    url = server.add("/b", CONTENT, stalls=[0.6, 0.6, 0.6])
    assert "stopped responding, 2 times in a row" in refused(url, patience=brief)


@pytest.mark.slow
def test_slow_server_is_awaited(server: Server) -> None:
    fetch(server.add("/a", CONTENT, pause=0.01), patience=Patience(1, 0.01, 10))
    assert PLACE.read_bytes() == CONTENT


def test_missing_server() -> None:
    with serving() as server:
        url = server.add("/a", CONTENT)
    os.environ.pop("HF_HUB_OFFLINE")
    try:
        assert "is this computer online?" in refused(url)
    finally:
        os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.mark.parametrize("variable", ["VQCLIP_OFFLINE", "HF_HUB_OFFLINE"])
def test_offline(variable: str, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "1")
    assert f"disabled by {variable}" in refused(server.add("/a", CONTENT))
    assert server.requests == []


def test_proxies_are_used(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", server.address)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    server.add("http://nowhere.invalid/a", CONTENT)
    fetch("http://nowhere.invalid/a")
    assert PLACE.read_bytes() == CONTENT


def test_invalid_proxy(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "nonsense://a")
    assert "the proxy or certificates" in refused(server.add("/a", CONTENT))


def test_wrong_hash(server: Server) -> None:
    url = server.add("/a", CONTENT)
    assert "not aaaaaaaaaaaa" in refused(Source(url, "a" * 64))
    assert "previous download" in refused(url, known="a" * 64)
    assert not [p for p in Path().rglob("*") if p.is_file()]
    assert fetch(url, known=DIGEST).sha256 == DIGEST


def test_wrong_content(server: Server) -> None:
    def check(path: Path) -> None:
        raise CheckpointError(f"{path} is no checkpoint")

    assert "the file is no checkpoint" in refused(server.add("/a", CONTENT), check=check)


def test_not_enough_disk_space(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    mirror = server.add("/b", CONTENT)
    message = refused(server.add("/a", CONTENT), mirror)
    assert "300 KiB must still be downloaded" in message
    assert "only 1000 bytes free" in message
    assert [r["path"] for r in server.requests] == ["/a"]  # a mirror would not help


def test_disk_fills_up(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def __enter__(self) -> "Full":
            return self

        def __exit__(self, *_: object) -> None: ...

        def write(self, _: bytes) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    usual: Any = Path.open

    def opened(path: Path, mode: str = "r", **options: Any) -> Any:
        return Full() if mode == "ab" else usual(path, mode, **options)

    monkeypatch.setattr(Path, "open", opened)
    assert "is full: free some space" in refused(server.add("/a", CONTENT))


KILLED = """
import sys
from pathlib import Path
from vqclip.hub.catalogue.entries import Source
from vqclip.hub.downloads import DownloadRequest, Listener, download
listener = Listener(lambda done, total: print(done, flush=True), print)
source = Source(sys.argv[1])
download(DownloadRequest(Path("files/weights.ckpt"), [source], lambda _: None), listener)
"""


def test_killed_download_is_resumed(server: Server) -> None:
    url = server.add("/a", CONTENT, pause=0.02)
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, url], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    while int(process.stdout.readline()) < 50_000:
        pass
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert not PLACE.exists()
    came = Part(PLACE).size
    assert 40_000 <= came < len(CONTENT)
    server.files["/a"].pause = 0
    fetch(url)
    assert server.requests[-1]["range"] == f"bytes={came}-"
    assert PLACE.read_bytes() == CONTENT
