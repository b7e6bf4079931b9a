"""A web server on loopback that answers by script, and the outbound HTTP that asks it."""

from __future__ import annotations

import functools
import io
import os
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self

from shared.guard import Guard
from shared.outbound import Outbound

LOOPBACK = ["127.0.0.1/32"]


Script = bytes | Callable[[], Iterable[bytes]]


@dataclass
class Server:
    """A server that answers each path with its script's bytes, and remembers what it was asked."""

    scripts: dict[str, Script] = field(default_factory=dict)
    tls: ssl.SSLContext | None = None
    host: str = "127.0.0.1"
    asked: list[bytes] = field(default_factory=list)
    connections: int = 0

    def __enter__(self) -> Self:
        self._listener = socket.create_server((self.host, 0))
        self.port = self._listener.getsockname()[1]
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._leaving.set()
        self._thread.join()
        self._listener.close()

    def url(self, path: str = "/photo", host: str | None = None) -> str:
        scheme = "https" if self.tls else "http"
        return f"{scheme}://{host or self.host}:{self.port}{path}"

    def _serve(self) -> None:
        self._listener.settimeout(0.005)
        answering = []
        while not self._leaving.is_set():
            with suppress(TimeoutError):
                connection, _ = self._listener.accept()
                self.connections += 1
                thread = threading.Thread(target=self._answer, args=[connection])
                thread.start()
                answering.append(thread)
        for thread in answering:
            thread.join()

    def _answer(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            connection.settimeout(5)
            stream = self.tls.wrap_socket(connection, server_side=True) if self.tls else connection
            request = _read_request(stream)
            self.asked.append(request)
            script = self.scripts.get(request.split(b" ")[1].decode(), answer(404))
            for piece in [script] if isinstance(script, bytes) else script():
                stream.sendall(piece)
                if self._leaving.is_set():
                    break
            stream.close()


def _read_request(stream: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        data += stream.recv(4096) or b"\r\n\r\n"
    length = re.search(rb"content-length: (\d+)", data, re.IGNORECASE)
    end = data.index(b"\r\n\r\n") + 4 + (int(length[1]) if length else 0)
    while len(data) < end:
        data += stream.recv(4096)
    return data


def answer(status: int, body: bytes = b"", **headers: str) -> bytes:
    given = {"Content_Length": str(len(body))} | headers
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in given.items())
    return f"HTTP/1.1 {status} Whatever\r\n{lines}\r\n".encode("latin-1") + body


def drip(start: bytes, piece: bytes) -> Callable[[], Iterator[bytes]]:
    """`start`, and then `piece` every 50 ms for ten seconds."""

    def pieces() -> Iterator[bytes]:
        yield start
        for _ in range(200):
            time.sleep(0.05)
            yield piece

    return pieces


def fetch(
    url: str, *, allow: Iterable[str] = LOOPBACK, max_bytes: int = 1000, timeout: float = 5.0
) -> bytes:
    body = io.BytesIO()
    outbound(tuple(allow)).fetch(url, into=body, max_bytes=max_bytes, timeout=timeout)
    return body.getvalue()


def outbound(allow: tuple[str, ...]) -> Outbound:
    return _outbound(allow, os.environ.get("SSL_CERT_FILE"))


@functools.cache  # reading every authority's certificate takes its time
def _outbound(allow: tuple[str, ...], _trusted: str | None) -> Outbound:
    return Outbound(Guard(allow))
