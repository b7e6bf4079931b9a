"""Fetching a photo: complete answers, sizes and deadlines."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator

import pytest

from shared.errors import (
    ImageTooLarge,
    ServiceError,
    UrlFailed,
    UrlUnavailable,
)
from tests.web import (
    LOOPBACK,
    Server,
    answer,
    drip,
    fetch,
    outbound,
)


def test_a_photo_is_fetched(server: Server) -> None:
    server.scripts["/photo"] = answer(200, b"the photo")
    assert fetch(server.url()) == b"the photo"


def test_the_request_has_host_path_and_query_but_no_fragment(server: Server) -> None:
    server.scripts["/photo?size=1"] = answer(200, b"the photo")
    fetch(server.url("/photo?size=1#top"))
    [request] = server.asked
    assert request.startswith(b"GET /photo?size=1 HTTP/1.1\r\n")
    assert f"Host: 127.0.0.1:{server.port}\r\n".encode() in request
    assert b"User-Agent: nukki\r\n" in request


def test_a_body_without_a_length_is_read_to_its_end(server: Server) -> None:
    server.scripts["/photo"] = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nthe photo"
    assert fetch(server.url()) == b"the photo"


def test_a_chunked_body_is_reassembled(server: Server) -> None:
    chunks = b"4\r\nthe \r\n5\r\nphoto\r\n0\r\n\r\n"
    server.scripts["/photo"] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks
    assert fetch(server.url()) == b"the photo"


def test_a_path_with_non_ascii_letters_is_fetched(server: Server) -> None:
    server.scripts["/%EB%88%84%EB%81%BC"] = answer(200, b"the photo")
    assert fetch(server.url("/누끼")) == b"the photo"


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (204, None),
        (300, UrlFailed),
        (301, UrlFailed),  # without a Location
        (304, UrlFailed),
        (400, UrlFailed),
        (401, UrlFailed),
        (403, UrlFailed),
        (404, UrlFailed),
        (410, UrlFailed),
        (501, UrlFailed),
        (408, UrlUnavailable),
        (425, UrlUnavailable),
        (429, UrlUnavailable),
        (500, UrlUnavailable),
        (502, UrlUnavailable),
        (503, UrlUnavailable),
        (504, UrlUnavailable),
    ],
)
def test_the_status_decides_whether_to_retry(
    server: Server, status: int, error: type[ServiceError] | None
) -> None:
    server.scripts["/photo"] = answer(status)
    if error is None:
        assert fetch(server.url()) == b""
    else:
        with pytest.raises(error, match=str(status)):
            fetch(server.url())


@pytest.mark.parametrize(
    "script",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nonly this",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"SSH-2.0-OpenSSH_9.2p1\r\n",
        b"",
    ],
    ids=["short", "short chunk", "bad chunk", "half a header", "not HTTP", "nothing"],
)
def test_an_incomplete_answer_is_unavailable(server: Server, script: bytes) -> None:
    server.scripts["/photo"] = script
    with pytest.raises(UrlUnavailable):
        fetch(server.url())


def test_a_refused_connection_is_unavailable() -> None:
    with Server() as gone:
        pass
    with pytest.raises(UrlUnavailable):
        fetch(gone.url())


def test_a_body_of_exactly_the_limit_is_accepted(server: Server) -> None:
    server.scripts["/photo"] = answer(200, bytes(1000))
    assert len(fetch(server.url(), max_bytes=1000)) == 1000


def test_a_body_declared_too_large_is_not_read(server: Server) -> None:
    server.scripts["/photo"] = drip(answer(200, Content_Length="1001"), b"")
    began = time.monotonic()
    with pytest.raises(ImageTooLarge, match="1000 bytes"):
        fetch(server.url(), max_bytes=1000)
    assert time.monotonic() - began < 1


@pytest.mark.parametrize(
    "head", [b"Connection: close", b"Transfer-Encoding: chunked"], ids=["unsaid", "chunked"]
)
def test_an_endless_body_is_cut_off(server: Server, head: bytes) -> None:
    sent = [0]

    def endless() -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n"
        for _ in range(10_000):
            sent[0] += 100_000
            yield b"186a0\r\n" + bytes(100_000) + b"\r\n"

    server.scripts["/photo"] = endless
    with pytest.raises(ImageTooLarge, match="1000 bytes"):
        fetch(server.url(), max_bytes=1000)
    assert sent[0] < 100_000_000


@pytest.mark.parametrize(
    "script",
    [
        drip(b"HTTP/1.1 200 OK\r\nX-Slow: ", b"a"),
        drip(b"HTTP/1.1 200 OK\r\n", b"X-Slow: a\r\n"),
        drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        drip(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b"a"),
        drip(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
        drip(b"", b""),
    ],
    ids=["a header", "headers", "interim answers", "a body", "chunks", "silence"],
)
def test_a_slow_answer_is_abandoned_at_the_deadline(
    server: Server, script: Callable[[], Iterator[bytes]]
) -> None:
    server.scripts["/photo"] = script
    began = time.monotonic()
    with pytest.raises(UrlUnavailable):
        fetch(server.url(), timeout=0.4)
    assert 0.3 < time.monotonic() - began < 1.5


def test_redirects_do_not_extend_the_deadline(server: Server) -> None:
    def slowly() -> Iterator[bytes]:
        time.sleep(0.25)
        yield answer(302, Location="/photo")

    server.scripts["/photo"] = slowly
    began = time.monotonic()
    with pytest.raises(UrlUnavailable):
        fetch(server.url(), timeout=0.4)
    assert time.monotonic() - began < 1.2


def test_a_receiver_that_does_not_read_is_abandoned_at_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/hook"
        began = time.monotonic()
        with pytest.raises(UrlUnavailable):
            outbound(tuple(LOOPBACK)).post(url, headers={}, body=bytes(50_000_000), timeout=0.4)
        assert time.monotonic() - began < 1.5
