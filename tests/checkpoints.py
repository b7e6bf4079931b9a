"""A web server with one checkpoint, and helpers of the checkpoint tests."""

from __future__ import annotations

import hashlib
import http.server
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from shared.checkpoints import ModelsFolder

BODY = os.urandom(700_001)
DIGEST = hashlib.sha256(BODY).hexdigest()
OTHER = os.urandom(700_001)
NAME = "sam2.1_hiera_tiny"

WHOLE = {"sam2.1_hiera_tiny.pt", "sam2.1_hiera_tiny.sha256"}


@dataclass
class FileServer:
    """Serves one file over real HTTP, with typical server faults."""

    body: bytes = BODY
    etag: str | None = '"one"'
    status: int = 200
    ranges: bool = True
    if_range: bool = True
    #: Bytes sent before each next response breaks off; None: it completes.
    breaks: list[int | None] = field(default_factory=list)
    #: The second half of each response waits until this is set.
    gate: threading.Event | None = None
    redirect: str | None = None
    asked: list[dict[str, str]] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/weights.pt"

    def part(self, headers: dict[str, str]) -> tuple[int, int]:
        """The status and the offset of the response's first byte."""
        wanted = headers.get("range", "")
        if not self.ranges or not wanted:
            return self.status, 0
        if self.if_range and headers.get("if-range", self.etag) != self.etag:
            return self.status, 0
        start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        return (206, start) if start < len(self.body) else (416, len(self.body))


@contextmanager
def serving() -> Iterator[FileServer]:
    """A FileServer that listens on loopback."""
    shelf = FileServer()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            shelf.asked.append(headers)
            if shelf.redirect:
                self.send_response(302)
                self.send_header("Location", shelf.redirect)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            status, start = shelf.part(headers)
            content = shelf.body[start:]
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            if shelf.etag:
                self.send_header("ETag", shelf.etag)
            if status == 206:
                last, size = len(shelf.body) - 1, len(shelf.body)
                self.send_header("Content-Range", f"bytes {start}-{last}/{size}")
            if status == 416:
                self.send_header("Content-Range", f"bytes */{len(shelf.body)}")
            self.end_headers()
            broken = shelf.breaks.pop(0) if shelf.breaks else None
            half = len(content) // 2
            self.wfile.write(content[:half] if broken is None else content[:broken])
            self.wfile.flush()
            if shelf.gate:
                shelf.gate.wait(20)
            if broken is None:
                self.wfile.write(content[half:])
            else:
                self.close_connection = True

        def log_message(self, *args: object) -> None:
            pass

    listener = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    shelf.port = listener.server_port
    thread = threading.Thread(target=listener.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield shelf
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join()


def file_names(folder: ModelsFolder) -> set[str]:
    """The folder's file names, without the lock."""
    return {path.name for path in folder.path.iterdir() if not path.name.endswith(".lock")}


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)
