"""Forbidden addresses in every notation, and names that resolve to them."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

import pytest

from shared.errors import (
    ConfigError,
    UrlForbidden,
    UrlUnavailable,
)
from shared.guard import Guard
from tests.web import Server, answer, fetch

PUBLIC = "93.184.215.14"


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
def test_a_non_public_address_is_refused(address: str) -> None:
    with pytest.raises(UrlForbidden):
        Guard().check_url(literal(address))


@pytest.mark.parametrize("address", PERMITTED.values(), ids=PERMITTED.keys())
def test_a_public_address_is_permitted(address: str) -> None:
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
def test_a_url_that_is_invalid_or_non_http_or_has_credentials_is_refused(url: str) -> None:
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
def test_a_url_that_parsers_read_differently_opens_no_connection(
    server: Server, url: str, dns: dict[str, Any]
) -> None:
    dns |= {"files.test": [], "localhost": ["127.0.0.1"], "127.0.0.1.": ["127.0.0.1"]}
    dns["xn--a.xn--b-"] = []
    with pytest.raises((UrlForbidden, UrlUnavailable)):
        fetch(url.format(port=server.port), allow=[])
    assert server.connections == 0


def test_a_refusal_does_not_reveal_the_resolved_address(dns: dict[str, Any]) -> None:
    dns["inside.test"] = ["10.11.12.13"]
    with pytest.raises(UrlForbidden) as refusal:
        fetch("http://inside.test/")
    assert "10.11" not in str(refusal.value)


@pytest.mark.parametrize("address", FORBIDDEN.values(), ids=FORBIDDEN.keys())
def test_a_name_that_resolves_to_a_non_public_address_is_refused(
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


def test_an_unknown_name_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(UrlUnavailable, match=r"nowhere\.test has no address"):
        fetch("http://nowhere.test/")


def test_an_overlong_name_is_unavailable() -> None:
    with pytest.raises((UrlUnavailable, UrlForbidden)):
        fetch(f"http://{'a' * 70}.test/")


def test_a_name_rebound_to_loopback_is_looked_up_once_and_its_first_address_used(
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


def test_the_name_is_looked_up_again_for_each_redirect(server: Server, dns: dict[str, Any]) -> None:
    dns["moving.test"] = iter([["127.0.0.1"], ["127.0.0.2"]])
    server.scripts["/photo"] = answer(302, Location=server.url("/there", host="moving.test"))
    with pytest.raises(UrlForbidden):
        fetch(server.url(host="moving.test"))
    assert server.connections == 1


def test_the_second_address_is_tried_when_the_first_fails(
    server: Server, dns: dict[str, Any]
) -> None:
    server.scripts["/photo"] = answer(200, b"the photo")
    dns["two.test"] = ["127.0.0.3", "127.0.0.1"]
    assert fetch(server.url(host="two.test"), allow=["127.0.0.0/8"]) == b"the photo"
    assert f"Host: two.test:{server.port}".encode() in server.asked[0]


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
def test_an_address_on_the_allow_list_is_permitted(
    networks: list[str], address: str, permitted: bool
) -> None:
    assert Guard(networks).permits(ipaddress.ip_address(address)) is permitted


@pytest.mark.parametrize("network", ["10.0.0.1/8", "ten", "10.0.0.0/33", ""])
def test_an_invalid_allow_list_is_a_config_error(network: str) -> None:
    with pytest.raises(ConfigError, match="allow_networks"):
        Guard([network])
