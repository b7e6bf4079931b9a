"""Outbound HTTP against real servers on loopback; only DNS is played."""

from __future__ import annotations

import datetime as dt
import functools
import ipaddress
import os
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pytest

from shared.errors import (
    ConfigError,
    ImageTooLarge,
    ServiceError,
    UrlFailed,
    UrlForbidden,
    UrlUnavailable,
)
from shared.guard import Guard
from shared.outbound import MAX_REDIRECTS, Outbound

LOOPBACK = ["127.0.0.1/32"]
PUBLIC = "93.184.215.14"

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


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


def fetch(
    url: str, *, allow: Iterable[str] = LOOPBACK, max_bytes: int = 1000, timeout: float = 5.0
) -> bytes:
    return outbound(tuple(allow)).fetch(url, max_bytes=max_bytes, timeout=timeout)


def outbound(allow: tuple[str, ...]) -> Outbound:
    return _outbound(allow, os.environ.get("SSL_CERT_FILE"))


@functools.cache  # reading every authority's certificate takes its time
def _outbound(allow: tuple[str, ...], _trusted: str | None) -> Outbound:
    return Outbound(Guard(allow))


@pytest.fixture
def dns(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What each name resolves to: a list of addresses, or an iterator of such, one a lookup."""
    book: dict[str, Any] = {"lookups": []}
    genuine = socket.getaddrinfo

    def play(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if host not in book:
            ipaddress.ip_address(host)  # a test may look up no other name than those it played
            return genuine(host, port, *args, **kwargs)
        book["lookups"].append(host)
        given = book[host] if isinstance(book[host], list) else next(book[host])
        return [found for address in given for found in genuine(address, port, *args, **kwargs)]

    monkeypatch.setattr(socket, "getaddrinfo", play)
    return book


# Fetching


def test_a_photo_is_fetched(server: Server) -> None:
    server.scripts["/photo"] = answer(200, b"the photo")
    assert fetch(server.url()) == b"the photo"


def test_the_request_names_host_path_and_query_and_no_fragment(server: Server) -> None:
    server.scripts["/photo?size=1"] = answer(200, b"the photo")
    fetch(server.url("/photo?size=1#top"))
    [request] = server.asked
    assert request.startswith(b"GET /photo?size=1 HTTP/1.1\r\n")
    assert f"Host: 127.0.0.1:{server.port}\r\n".encode() in request
    assert b"User-Agent: nukki\r\n" in request


def test_a_body_without_a_length_is_read_to_its_end(server: Server) -> None:
    server.scripts["/photo"] = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nthe photo"
    assert fetch(server.url()) == b"the photo"


def test_a_chunked_body_is_put_together(server: Server) -> None:
    chunks = b"4\r\nthe \r\n5\r\nphoto\r\n0\r\n\r\n"
    server.scripts["/photo"] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks
    assert fetch(server.url()) == b"the photo"


def test_a_path_in_other_letters_is_fetched(server: Server) -> None:
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
def test_the_status_says_whether_to_try_again(
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
def test_an_answer_that_is_not_whole_is_unavailable(server: Server, script: bytes) -> None:
    server.scripts["/photo"] = script
    with pytest.raises(UrlUnavailable):
        fetch(server.url())


def test_a_server_that_is_not_there_is_unavailable() -> None:
    with Server() as gone:
        pass
    with pytest.raises(UrlUnavailable):
        fetch(gone.url())


# Limits


def test_a_body_of_the_limit_is_taken(server: Server) -> None:
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
def test_a_body_without_end_is_cut_off(server: Server, head: bytes) -> None:
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
def test_a_drip_fed_answer_is_given_up_at_the_deadline(
    server: Server, script: Callable[[], Iterator[bytes]]
) -> None:
    server.scripts["/photo"] = script
    began = time.monotonic()
    with pytest.raises(UrlUnavailable):
        fetch(server.url(), timeout=0.4)
    assert 0.3 < time.monotonic() - began < 1.5


def test_redirects_do_not_prolong_the_deadline(server: Server) -> None:
    def slowly() -> Iterator[bytes]:
        time.sleep(0.25)
        yield answer(302, Location="/photo")

    server.scripts["/photo"] = slowly
    began = time.monotonic()
    with pytest.raises(UrlUnavailable):
        fetch(server.url(), timeout=0.4)
    assert time.monotonic() - began < 1.2


def test_a_receiver_that_does_not_read_is_given_up_at_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/hook"
        began = time.monotonic()
        with pytest.raises(UrlUnavailable):
            outbound(tuple(LOOPBACK)).post(url, headers={}, body=bytes(50_000_000), timeout=0.4)
        assert time.monotonic() - began < 1.5


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed(server: Server, status: int) -> None:
    server.scripts["/photo"] = answer(status, Location=server.url("/there"))
    server.scripts["/there"] = answer(200, b"the photo")
    assert fetch(server.url()) == b"the photo"


@pytest.mark.parametrize("location", ["/a/there", "there", "//127.0.0.1:{port}/a/there", "?x=1"])
def test_a_relative_redirect_is_followed(server: Server, location: str) -> None:
    there = location.format(port=server.port)
    server.scripts["/a/photo"] = answer(302, Location=there)
    server.scripts["/a/there"] = server.scripts["/a/photo?x=1"] = answer(200, b"the photo")
    assert fetch(server.url("/a/photo")) == b"the photo"


def test_as_many_redirects_as_are_allowed_are_followed(server: Server) -> None:
    for hop in range(MAX_REDIRECTS):
        server.scripts[f"/{hop}"] = answer(302, Location=f"/{hop + 1}")
    server.scripts[f"/{MAX_REDIRECTS}"] = answer(200, b"the photo")
    assert fetch(server.url("/0")) == b"the photo"


def test_a_loop_of_redirects_is_left(server: Server) -> None:
    server.scripts["/photo"] = answer(302, Location="/photo")
    with pytest.raises(UrlFailed, match="redirects"):
        fetch(server.url())
    assert server.connections == MAX_REDIRECTS + 1


def test_a_redirect_to_a_private_address_is_refused_and_not_connected_to(server: Server) -> None:
    with Server(host="127.0.0.2") as private:
        server.scripts["/photo"] = answer(302, Location=private.url())
        with pytest.raises(UrlForbidden):
            fetch(server.url())
        assert private.connections == 0


def test_a_redirect_to_a_private_name_is_refused_and_not_connected_to(
    server: Server, dns: dict[str, Any]
) -> None:
    dns["inside.test"] = ["127.0.0.2"]
    with Server(host="127.0.0.2") as private:
        server.scripts["/photo"] = answer(302, Location=private.url(host="inside.test"))
        with pytest.raises(UrlForbidden):
            fetch(server.url())
        assert private.connections == 0


@pytest.mark.parametrize(
    "location",
    [
        "ftp://files.test/photo",
        "file:///etc/passwd",
        "http://user:secret@127.0.0.1/",
        "http://[not-an-address/",
        "http://[::1%25lo]/",
        "http://127.0.0.1:99999/",
        "http://\xe9\xff.\x80/",
    ],
)
def test_a_redirect_to_no_place_of_ours_is_refused(server: Server, location: str) -> None:
    server.scripts["/photo"] = answer(302, Location=location)
    with pytest.raises((UrlForbidden, UrlUnavailable)):
        fetch(server.url())
    assert server.connections == 1


# Addresses

FORBIDDEN = {
    "loopback": "127.0.0.1",
    "the whole of loopback": "127.255.255.254",
    "this host": "0.0.0.0",
    "this network": "0.1.2.3",
    "private 10": "10.0.0.1",
    "private 172": "172.31.255.255",
    "private 192": "192.168.1.1",
    "link-local": "169.254.1.1",
    "AWS, Azure and Google metadata": "169.254.169.254",
    "Alibaba metadata": "100.100.100.200",
    "Oracle metadata": "192.0.0.192",
    "Azure's own services": "168.63.129.16",
    "carrier-grade NAT": "100.64.0.1",
    "protocol assignments": "192.0.0.8",
    "6to4 relays": "192.88.99.1",
    "benchmarks": "198.18.0.1",
    "documentation": "203.0.113.1",
    "multicast": "224.0.0.1",
    "later multicast": "239.255.255.250",
    "reserved": "240.0.0.1",
    "broadcast": "255.255.255.255",
    "v6 loopback": "::1",
    "v6 unspecified": "::",
    "v6 link-local": "fe80::1",
    "v6 link-local with a zone": "fe80::1%lo",
    "v6 site-local": "fec0::1",
    "v6 unique local": "fd00::1",
    "v6 AWS metadata": "fd00:ec2::254",
    "v6 multicast": "ff02::1",
    "v6 documentation": "2001:db8::1",
    "v6 discard": "100::1",
    "v4 mapped": "::ffff:127.0.0.1",
    "v4 mapped in hex": "::ffff:7f00:1",
    "v4 compatible": "::127.0.0.1",
    "v4 translated": "::ffff:0:127.0.0.1",
    "NAT64": "64:ff9b::127.0.0.1",
    "NAT64 of metadata": "64:ff9b::a9fe:a9fe",
    "local NAT64": "64:ff9b:1::7f00:1",
    "6to4": "2002:7f00:1::",
    "6to4 of a private one": "2002:c0a8:101::1",
    "Teredo": f"2001:0:4136:e378:8000:63bf:{0xFFFF ^ 0x7F00:x}:{0xFFFF ^ 1:x}",
}
PERMITTED = {
    "v4": "8.8.8.8",
    "v4 beside loopback": "128.0.0.1",
    "v4 beside private": "172.32.0.1",
    "v4 beside NAT": "100.128.0.1",
    "v6": "2606:4700:4700::1111",
    "v4 mapped": "::ffff:8.8.8.8",
    "NAT64": "64:ff9b::8.8.8.8",
    "6to4": "2002:808:808::1",
}


def literal(address: str) -> str:
    shown = address.replace("%", "%25")
    return f"http://[{shown}]/" if ":" in address else f"http://{address}/"


@pytest.mark.parametrize("address", FORBIDDEN.values(), ids=FORBIDDEN.keys())
def test_an_address_that_is_not_public_is_refused(address: str) -> None:
    with pytest.raises(UrlForbidden):
        Guard().check_url(literal(address))


@pytest.mark.parametrize("address", PERMITTED.values(), ids=PERMITTED.keys())
def test_an_address_that_is_public_is_permitted(address: str) -> None:
    Guard().check_url(literal(address))


@pytest.mark.parametrize(
    "host",
    [
        "2130706433",
        "0x7f000001",
        "0x7F.1",
        "0177.0.0.1",
        "0177.1",
        "127.1",
        "127.0.1",
        "0",
        "0x0",
        "0xa9fea9fe",
        "2852039166",
        "0251.0376.0251.0376",
        "169.254.43518",
    ],
)
@pytest.mark.parametrize("when", ["on submission", "on connecting"])
def test_an_address_in_disguise_is_refused(host: str, when: str) -> None:
    if when == "on submission":
        with pytest.raises(UrlForbidden):
            Guard().check_url(f"http://{host}/")
    else:
        with pytest.raises(UrlForbidden):
            Guard().resolve(host, 80, timeout=5)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "photo.png",
        "//files.test/photo",
        "ftp://files.test/",
        "file:///etc/passwd",
        "gopher://files.test/",
        "http://",
        "http:///photo",
        "http://user@files.test/",
        "http://user:secret@files.test/",
        "http://:secret@files.test/",
        "http://files.test:99999/",
        "http://files.test:port/",
        "http://[::1/",
        "http://[not-an-address]/",
    ],
)
def test_what_is_no_web_address_is_refused(url: str) -> None:
    with pytest.raises(UrlForbidden):
        Guard().check_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}\\@files.test/",
        "http://files.test\\@127.0.0.1:{port}/",
        "http://127.0.0.1:{port}#@files.test/",
        "http://127.0.0.1:{port}/\r\nX-Injected: 1",
        "http://127.0.0.1:{port} /",
        "http://①②⑦.⓪.⓪.①:{port}/",
        "http://localhost:{port}/",
        "http://127.0.0.1.:{port}/",
        "http://xn--a.xn--b-/:{port}/",
    ],
)
def test_a_url_that_parsers_read_differently_connects_to_nothing(
    server: Server, url: str, dns: dict[str, Any]
) -> None:
    dns |= {"files.test": [], "localhost": ["127.0.0.1"], "127.0.0.1.": ["127.0.0.1"]}
    dns["xn--a.xn--b-"] = []
    with pytest.raises((UrlForbidden, UrlUnavailable)):
        fetch(url.format(port=server.port), allow=[])
    assert server.connections == 0


def test_a_refusal_does_not_say_where_a_name_leads(dns: dict[str, Any]) -> None:
    dns["inside.test"] = ["10.11.12.13"]
    with pytest.raises(UrlForbidden) as refusal:
        fetch("http://inside.test/")
    assert "10.11" not in str(refusal.value)


# Names


@pytest.mark.parametrize("address", FORBIDDEN.values(), ids=FORBIDDEN.keys())
def test_a_name_of_an_address_that_is_not_public_is_refused(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    found = [(family, socket.SOCK_STREAM, 6, "", (address, 80))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    with pytest.raises(UrlForbidden):
        Guard().resolve("inside.test", 80, timeout=5)


def test_a_name_with_one_private_address_among_public_ones_is_refused(
    server: Server, dns: dict[str, Any]
) -> None:
    dns["mixed.test"] = [PUBLIC, "127.0.0.1"]
    with pytest.raises(UrlForbidden):
        fetch(server.url(host="mixed.test"), allow=[])
    assert server.connections == 0


def test_a_name_that_nobody_knows_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(UrlUnavailable, match=r"nowhere\.test has no address"):
        fetch("http://nowhere.test/")


def test_a_name_too_long_to_be_one_is_unavailable() -> None:
    with pytest.raises((UrlUnavailable, UrlForbidden)):
        fetch(f"http://{'a' * 70}.test/")


def test_a_name_that_moves_to_loopback_is_looked_up_once_and_connected_to_where_it_was(
    server: Server, dns: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    connected: list[Any] = []

    def connect(address: Any, *args: Any, **kwargs: Any) -> socket.socket:
        connected.append(address)
        raise ConnectionRefusedError  # the public address is another's

    monkeypatch.setattr(socket, "create_connection", connect)
    dns["rebinding.test"] = iter([[PUBLIC], ["127.0.0.1"], ["127.0.0.1"]])
    with pytest.raises(UrlUnavailable):
        fetch(server.url(host="rebinding.test"), allow=[])
    assert connected == [(PUBLIC, server.port)]
    assert dns["lookups"] == ["rebinding.test"]
    assert server.connections == 0


def test_each_redirect_looks_its_name_up_anew(server: Server, dns: dict[str, Any]) -> None:
    dns["moving.test"] = iter([["127.0.0.1"], ["127.0.0.2"]])
    server.scripts["/photo"] = answer(302, Location=server.url("/there", host="moving.test"))
    with pytest.raises(UrlForbidden):
        fetch(server.url(host="moving.test"))
    assert server.connections == 1


def test_the_second_address_is_tried_where_the_first_is_dead(
    server: Server, dns: dict[str, Any]
) -> None:
    server.scripts["/photo"] = answer(200, b"the photo")
    dns["two.test"] = ["127.0.0.3", "127.0.0.1"]
    assert fetch(server.url(host="two.test"), allow=["127.0.0.0/8"]) == b"the photo"
    assert f"Host: two.test:{server.port}".encode() in server.asked[0]


# The allow-list


@pytest.mark.parametrize(
    ("networks", "address", "permitted"),
    [
        (["10.0.0.0/8"], "10.1.2.3", True),
        (["10.0.0.0/8"], "::ffff:10.1.2.3", True),
        (["10.0.0.0/8"], "11.1.2.3", True),
        (["10.0.0.0/8"], "192.168.0.1", False),
        (["10.1.0.0/16", "192.168.0.0/24"], "192.168.0.1", True),
        (["10.1.0.0/16", "192.168.0.0/24"], "192.168.1.1", False),
        (["169.254.169.254/32"], "169.254.169.254", True),
        (["::1/128"], "::1", True),
        (["::1/128"], "127.0.0.1", False),
        (["fd00::/8"], "fd00::1", True),
        ([], "10.1.2.3", False),
    ],
)
def test_the_allow_list_opens_what_it_names(
    networks: list[str], address: str, permitted: bool
) -> None:
    assert Guard(networks).permits(ipaddress.ip_address(address)) is permitted


@pytest.mark.parametrize("network", ["10.0.0.1/8", "ten", "10.0.0.0/33", ""])
def test_an_allow_list_that_makes_no_sense_is_a_config_error(network: str) -> None:
    with pytest.raises(ConfigError, match="allow_networks"):
        Guard([network])


# TLS


@pytest.fixture
def certified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ssl.SSLContext]:
    """A server's side of TLS under a certificate for this name, which our side trusts."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    def make(name: str) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        now = dt.datetime.now(dt.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        pem = serialization.Encoding.PEM
        (tmp_path / "trusted.pem").write_bytes(certificate.public_bytes(pem))
        (tmp_path / "key.pem").write_bytes(
            key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "trusted.pem"))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tmp_path / "trusted.pem", tmp_path / "key.pem")
        return context

    return make


def test_a_certificate_for_the_name_is_accepted_though_an_address_was_connected_to(
    certified: Callable[[str], ssl.SSLContext], dns: dict[str, Any]
) -> None:
    dns["photos.test"] = ["127.0.0.1"]
    with Server({"/photo": answer(200, b"the photo")}, certified("photos.test")) as server:
        assert fetch(server.url(host="photos.test")) == b"the photo"


def test_a_certificate_for_another_name_is_refused(
    certified: Callable[[str], ssl.SSLContext], dns: dict[str, Any]
) -> None:
    dns["photos.test"] = ["127.0.0.1"]
    with Server({"/photo": answer(200, b"the photo")}, certified("other.test")) as server:
        with pytest.raises(UrlUnavailable):
            fetch(server.url(host="photos.test"))
        assert server.asked == []


def test_a_certificate_for_a_name_is_not_one_for_its_address(
    certified: Callable[[str], ssl.SSLContext],
) -> None:
    with (
        Server({"/photo": answer(200, b"the photo")}, certified("photos.test")) as server,
        pytest.raises(UrlUnavailable),
    ):
        fetch(server.url())


def test_a_certificate_that_nobody_vouches_for_is_refused(
    certified: Callable[[str], ssl.SSLContext],
    dns: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dns["photos.test"] = ["127.0.0.1"]
    with Server({"/photo": answer(200, b"the photo")}, certified("photos.test")) as server:
        monkeypatch.delenv("SSL_CERT_FILE")
        with pytest.raises(UrlUnavailable):
            fetch(server.url(host="photos.test"))


# Posting


def post(url: str, *, timeout: float = 5.0, allow: Iterable[str] = LOOPBACK) -> Any:
    return outbound(tuple(allow)).post(
        url,
        headers={"webhook-id": "msg_1", "Content-Type": "application/json"},
        body=b'{"a":1}',
        timeout=timeout,
    )


def test_a_post_carries_its_headers_and_body(server: Server) -> None:
    server.scripts["/hook"] = answer(200, b"thanks")
    given = post(server.url("/hook"))
    assert (given.status, given.snippet) == (200, "thanks")
    head, _, body = server.asked[0].partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"POST /hook HTTP/1.1"
    assert {b"webhook-id: msg_1", b"Content-Type: application/json"} < set(lines)
    assert b"Content-Length: 7" in lines
    assert body == b'{"a":1}'


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_post_is_never_redirected(server: Server, status: int) -> None:
    server.scripts["/hook"] = answer(status, Location=server.url("/there"))
    assert post(server.url("/hook")).status == status
    assert server.connections == 1


@pytest.mark.parametrize("status", [200, 204, 400, 404, 410, 500, 503])
def test_a_posts_status_is_told_and_not_judged(server: Server, status: int) -> None:
    server.scripts["/hook"] = answer(status)
    assert post(server.url("/hook")).status == status


def test_of_a_long_answer_to_a_post_the_beginning_is_kept(server: Server) -> None:
    server.scripts["/hook"] = answer(500, b"x" * 100_000)
    assert post(server.url("/hook")).snippet == "x" * 200


def test_of_an_answer_that_is_not_text_something_is_kept(server: Server) -> None:
    server.scripts["/hook"] = answer(500, b"\xff\xfe oh")
    assert post(server.url("/hook")).snippet == "\ufffd\ufffd oh"


def test_an_answer_to_a_post_that_breaks_off_still_counts(server: Server) -> None:
    server.scripts["/hook"] = answer(200, b"than", Content_Length="100")
    assert post(server.url("/hook")).status == 200


def test_an_answer_to_a_post_that_drips_counts_by_its_status(server: Server) -> None:
    server.scripts["/hook"] = drip(answer(200, Content_Length="100"), b"a")
    began = time.monotonic()
    assert post(server.url("/hook"), timeout=0.4).status == 200
    assert time.monotonic() - began < 1.5


def test_a_post_to_a_private_address_is_refused(server: Server) -> None:
    with pytest.raises(UrlForbidden):
        post(server.url("/hook"), allow=[])
    assert server.connections == 0


def test_a_post_to_a_private_name_is_refused(server: Server, dns: dict[str, Any]) -> None:
    dns["inside.test"] = ["127.0.0.1"]
    with pytest.raises(UrlForbidden):
        post(server.url("/hook", host="inside.test"), allow=[])
    assert server.connections == 0


def test_a_post_that_gets_no_answer_is_unavailable(server: Server) -> None:
    server.scripts["/hook"] = b""
    with pytest.raises(UrlUnavailable):
        post(server.url("/hook"))


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_proxy_of_the_environment_is_not_used(
    server: Server, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with Server() as proxy:
        monkeypatch.setitem(os.environ, name, proxy.url(""))
        server.scripts["/photo"] = answer(200, b"the photo")
        assert fetch(server.url()) == b"the photo"
        assert proxy.connections == 0
