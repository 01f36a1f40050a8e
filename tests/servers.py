"""A real HTTP server on 127.0.0.1 with configurable misbehaviour."""

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PAGE = b"<!DOCTYPE html><html><title>Link does not exist</title></html>"


@dataclass
class File:
    """The content served under a path, and the server's behaviour.

    etag: the ETag to send; None sends none.
    ranges: whether range requests are honoured.
    drops: numbers of bytes after which successive connections end; later connections do not.
    claims: the claimed length.
    statuses: statuses of the first answers, in order.
    pause: seconds to wait after every 4 KiB.
    stalls: seconds of silence before the body, for successive requests.
    """

    content: bytes
    etag: str | None = '"1"'
    ranges: bool = True
    drops: list[int] = field(default_factory=list)
    claims: int | None = None
    statuses: list[int] = field(default_factory=list)
    pause: float = 0.0
    stalls: list[float] = field(default_factory=list)
    kind: str = "application/octet-stream"


class Server:
    """The files by path, and the requests so far: path, requested range, status, bytes sent."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.files: dict[str, File] = {}
        self.requests: list[dict[str, Any]] = []

    def url(self, path: str) -> str:
        return f"{self.address}{path}"

    def add(self, path: str, content: bytes, **behaviour: Any) -> str:
        self.files[path] = File(content, **behaviour)
        return self.url(path)

    def sent(self, path: str) -> int:
        return sum(request["sent"] for request in self.requests if request["path"] == path)


@contextmanager
def serving() -> Iterator[Server]:
    """Serve on a free port until the end of the block."""
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    httpd.daemon_threads = True
    server = Server(f"http://127.0.0.1:{httpd.server_address[1]}")
    httpd.files = server  # type: ignore[attr-defined]
    thread = threading.Thread(target=httpd.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        httpd.shutdown()
        httpd.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server: Server = self.server.files  # type: ignore[attr-defined]
        asked = self.headers.get("Range")
        self.record = {"path": self.path, "range": asked, "status": 404, "sent": 0}
        server.requests.append(self.record)
        file = server.files.get(self.path)
        if file is None:
            self._head(404, len(PAGE), "text/html")
            self._send(PAGE)
        elif file.statuses:
            self._head(file.statuses.pop(0), 0, "text/plain", ("Retry-After", "0"))
        else:
            self._answer(file, asked)

    def _answer(self, file: File, asked: str | None) -> None:
        start = self._start(file, asked)
        size = len(file.content)
        extra = [("ETag", file.etag)] if file.etag else []
        if start and start >= size:
            self._head(416, 0, file.kind, ("Content-Range", f"bytes */{size}"))
            return
        if start:
            extra.append(("Content-Range", f"bytes {start}-{size - 1}/{size}"))
        length = size - start if file.claims is None else file.claims
        self._head(206 if start else 200, length, file.kind, *extra)
        if file.stalls:
            time.sleep(file.stalls.pop(0))
        body = file.content[start:]
        if file.drops:
            body = body[: file.drops.pop(0)]
            self.close_connection = True
        self._send(body, file.pause)
        if file.claims is not None:
            self.close_connection = True

    def _start(self, file: File, asked: str | None) -> int:
        found = re.fullmatch(r"bytes=(\d+)-", asked or "")
        condition = self.headers.get("If-Range")
        same = condition is None or condition == file.etag
        return int(found[1]) if found and file.ranges and same else 0

    def _head(self, status: int, length: int, kind: str, *extra: tuple[str, str]) -> None:
        self.record["status"] = status
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length))
        for name, value in extra:
            self.send_header(name, value)
        self.end_headers()

    def _send(self, body: bytes, pause: float = 0.0) -> None:
        step = 4096 if pause else max(len(body), 1)
        try:
            for begin in range(0, len(body), step):
                self.wfile.write(body[begin : begin + step])
                self.record["sent"] += len(body[begin : begin + step])
                if pause:
                    time.sleep(pause)
        except OSError:
            self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Log nothing."""
