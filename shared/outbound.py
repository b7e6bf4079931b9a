"""Outbound HTTP to addresses that callers name: photo URLs and webhooks.

A name is resolved once. If any of its addresses is neither public nor allowed by a setting, no
connection is made. The connection goes to a checked address, so that a second DNS answer cannot
redirect it. Each HTTP redirect is checked too. One deadline bounds the whole call, even if the
answer comes byte by byte.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO
from urllib.parse import urljoin

import httpcore
import httpx

from shared.errors import ImageTooLarge, UrlFailed, UrlForbidden, UrlUnavailable
from shared.guard import Guard

MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_RETRYABLE = frozenset({408, 425, 429, 500, 502, 503, 504})
_BROKEN = (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError)
#: Bytes of a webhook's answer that are kept for the log.
_SNIPPET = 200


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of a webhook's receiver; `retry_after` is that header, empty if there is none."""

    status: int
    snippet: str = ""
    retry_after: str = ""


class _Stream(httpcore.NetworkStream):
    """A network stream with one deadline for all of its reads and writes."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: float) -> None:
        self._stream = stream
        self._deadline = deadline

    def _left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout("the whole call took too long")
        return left

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        return self._stream.read(max_bytes, self._left())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        self._stream.write(buffer, self._left())

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        tls = self._stream.start_tls(ssl_context, server_hostname, self._left())
        return _Stream(tls, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _Backend(httpcore.NetworkBackend):
    """Connects only to addresses that the guard has checked."""

    def __init__(self, guard: Guard, deadline: float) -> None:
        self._guard = guard
        self._deadline = deadline
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        failure: Exception = httpcore.ConnectError("no address")
        for address in self._guard.resolve(host, port, timeout=self._left()):
            left = self._left()
            try:
                stream = self._inner.connect_tcp(address, port, left, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return _Stream(stream, self._deadline)
        raise failure

    def _left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise httpcore.ConnectTimeout("the whole call took too long")
        return left


class Outbound:
    """Sends every request to a caller's URL; nothing else does."""

    def __init__(self, guard: Guard) -> None:
        self.guard = guard
        self._tls = httpx.create_ssl_context()  # honours SSL_CERT_FILE, for private authorities

    def fetch(self, url: str, *, into: BinaryIO, max_bytes: int, timeout: float) -> None:
        """Fetch a photo's URL, following redirects; its body is written to `into`.

        Raises:
            UrlForbidden: it leads to an address that is not permitted.
            UrlFailed: its answer is a final error, or there are too many redirects.
            UrlUnavailable: no answer in time, or one that may be different later.
            ImageTooLarge: more than `max_bytes`.
            OSError: `into` cannot be written to.
        """
        deadline = time.monotonic() + timeout
        for _hop in range(MAX_REDIRECTS + 1):
            self.guard.check_url(url)
            with self._call("GET", url, {"Accept": "image/*,*/*;q=0.5"}, b"", deadline) as answer:
                location = _header(answer, b"location")
                if answer.status in _REDIRECTS and location:
                    url = _joined(url, location)
                    continue
                if answer.status in _RETRYABLE:
                    raise UrlUnavailable(f"the URL answered {answer.status}")
                if not 200 <= answer.status < 300:
                    raise UrlFailed(f"the URL answered {answer.status}")
                return _copy(answer, into, max_bytes)
        raise UrlFailed(f"more than {MAX_REDIRECTS} redirects")

    def post(self, url: str, *, headers: Mapping[str, str], body: bytes, timeout: float) -> Answer:
        """Post a webhook; redirects are not followed.

        Raises:
            UrlForbidden: the address is not permitted.
            UrlUnavailable: no answer in time.
        """
        self.guard.check_url(url)
        with self._call("POST", url, headers, body, time.monotonic() + timeout) as answer:
            asked = _header(answer, b"retry-after") or ""
            return Answer(answer.status, _snippet(answer), asked)

    @contextmanager
    def _call(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, deadline: float
    ) -> Iterator[httpcore.Response]:
        """Send one request on its own connection; the caller reads the response's body."""
        try:
            target = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise UrlForbidden(f"not a URL: {error}") from error
        sent = {"Host": target.netloc.decode("ascii"), "User-Agent": "nukki", **headers}
        if body:
            sent["Content-Length"] = str(len(body))
        backend = _Backend(self.guard, deadline)
        try:
            with (
                httpcore.ConnectionPool(ssl_context=self._tls, network_backend=backend) as pool,
                pool.stream(
                    method, str(target), headers=list(sent.items()), content=body
                ) as answer,
            ):
                yield answer
        except _BROKEN as error:
            raise UrlUnavailable(f"no whole answer: {type(error).__name__}") from error


def _joined(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError as error:
        raise UrlForbidden(f"not a URL: {error}") from error


def _header(answer: httpcore.Response, name: bytes) -> str | None:
    for key, value in answer.headers:
        if key.lower() == name:
            return str(value.decode("latin-1"))
    return None


def _copy(answer: httpcore.Response, into: BinaryIO, max_bytes: int) -> None:
    too_large = f"the URL gave more than {max_bytes} bytes"
    declared = _header(answer, b"content-length") or ""
    if declared.isdigit() and int(declared) > max_bytes:
        raise ImageTooLarge(too_large)
    size = 0
    for chunk in answer.iter_stream():
        size += len(chunk)
        if size > max_bytes:
            raise ImageTooLarge(too_large)
        into.write(chunk)


def _snippet(answer: httpcore.Response) -> str:
    """The first characters of the answer; its status counts even if the answer breaks off."""
    body = b""
    try:
        for chunk in answer.iter_stream():
            body += chunk
            if len(body) >= _SNIPPET:
                break
    except _BROKEN:
        pass
    return body[:_SNIPPET].decode("utf-8", "replace")
