# ruff: noqa: RUF001 - the confusing letters are the point
"""Hostile URLs are refused on submission or before connecting; no connection is made.

Python's audit hook proves it: it sees every `connect` in this process, whatever calls it.
"""

from __future__ import annotations

import ipaddress
import socket
import sys
from collections.abc import Callable
from io import BytesIO
from typing import Any

import httpcore
import pytest

from shared.errors import UrlForbidden, UrlUnavailable
from shared.guard import Guard
from shared.outbound import Outbound

#: Refused on submission, by their text alone.
ON_SUBMISSION = {
    "loopback": "http://127.0.0.1/",
    "loopback over TLS": "https://127.0.0.1/",
    "any loopback": "http://127.8.8.8/",
    "this host": "http://0.0.0.0/",
    "this network": "http://0.1.2.3/",
    "zero": "http://0/",
    "short form": "http://127.1/",
    "shorter still": "http://127.0.1/",
    "decimal": "http://2130706433/",
    "hex": "http://0x7f000001/",
    "hex, upper case": "http://0X7F000001/",
    "hex by parts": "http://0x7f.0x0.0x0.0x1/",
    "octal": "http://017700000001/",
    "octal by parts": "http://0177.0.0.1/",
    "octal with many zeros": "http://0000177.0.0.01/",
    "mixed bases": "http://0x7f.1/",
    "private 10": "http://10.0.0.1/",
    "private 10, short": "http://10.1/",
    "private 172": "http://172.16.0.1/",
    "private 192": "http://192.168.0.1/",
    "private in decimal": "http://3232235777/",
    "link-local": "http://169.254.0.1/",
    "metadata": "http://169.254.169.254/latest/meta-data/",
    "metadata in decimal": "http://2852039166/",
    "metadata in hex": "http://0xa9fea9fe/",
    "metadata in octal": "http://0251.0376.0251.0376/",
    "metadata, short": "http://169.254.43518/",
    "metadata of containers": "http://169.254.170.2/v2/credentials",
    "metadata of Alibaba": "http://100.100.100.200/",
    "metadata of Oracle": "http://192.0.0.192/",
    "metadata of Azure": "http://168.63.129.16/",
    "carrier-grade NAT": "http://100.64.0.1/",
    "benchmarks": "http://198.18.0.1/",
    "documentation 1": "http://192.0.2.1/",
    "documentation 2": "http://198.51.100.1/",
    "documentation 3": "http://203.0.113.1/",
    "6to4 relay": "http://192.88.99.1/",
    "multicast": "http://224.0.0.1/",
    "multicast of SSDP": "http://239.255.255.250:1900/",
    "reserved": "http://240.0.0.1/",
    "broadcast": "http://255.255.255.255/",
    "v6 loopback": "http://[::1]/",
    "v6 loopback, long": "http://[0:0:0:0:0:0:0:1]/",
    "v6 loopback, padded": "http://[0000::0001]/",
    "v6 unspecified": "http://[::]/",
    "v6 link-local": "http://[fe80::1]/",
    "v6 zone": "http://[fe80::1%25eth0]/",
    "v6 zone, raw": "http://[fe80::1%eth0]/",
    "v6 zone on loopback": "http://[::1%25lo]/",
    "v6 site-local": "http://[fec0::1]/",
    "v6 unique local": "http://[fd12:3456::1]/",
    "v6 unique local fc": "http://[fc00::1]/",
    "v6 metadata of AWS": "http://[fd00:ec2::254]/",
    "v6 multicast": "http://[ff02::1]/",
    "v6 documentation": "http://[2001:db8::1]/",
    "v6 documentation, new": "http://[3fff::1]/",
    "v6 discard": "http://[100::1]/",
    "v6 segment routing": "http://[5f00::1]/",
    "mapped": "http://[::ffff:127.0.0.1]/",
    "mapped in hex": "http://[::ffff:7f00:1]/",
    "mapped private": "http://[::ffff:10.0.0.1]/",
    "mapped metadata": "http://[::ffff:a9fe:a9fe]/",
    "compatible": "http://[::127.0.0.1]/",
    "translated": "http://[::ffff:0:127.0.0.1]/",
    "NAT64": "http://[64:ff9b::127.0.0.1]/",
    "NAT64 metadata": "http://[64:ff9b::a9fe:a9fe]/",
    "NAT64, local": "http://[64:ff9b:1::a00:1]/",
    "6to4": "http://[2002:7f00:1::1]/",
    "6to4 metadata": "http://[2002:a9fe:a9fe::1]/",
    "Teredo": "http://[2001:0:4136:e378:8000:63bf:80ff:fffe]/",
    "trailing dot": "http://127.0.0.1./",
    "trailing dots": "http://127.0.0.1../",
    "full-width digits": "http://１２７.０.０.１/",
    "full-width dots": "http://127。0。0。1/",
    "half-width dots": "http://127｡0｡0｡1/",
    "circled digits": "http://①②⑦.⓪.⓪.①/",
    "superscript": "http://¹²⁷.0.0.1/",
    "mathematical digits": "http://𝟏𝟐𝟕.𝟎.𝟎.𝟏/",
    "user name": "http://files.test@127.0.0.1/",
    "user name of a public host": "http://me@files.test/",
    "password": "http://me:secret@files.test/",
    "empty user, password": "http://:secret@files.test/",
    "two at signs": "http://files.test@files.test@127.0.0.1/",
    "user with a port": "http://files.test:80@127.0.0.1/",
    "percent in the user": "http://files.test%40@127.0.0.1/",
    "backslash": "http://files.test\\@127.0.0.1/",
    "backslash before the host": "http:\\\\127.0.0.1/",
    "backslash after the host": "http://127.0.0.1\\@files.test/",
    "backslash in the path": "http://files.test/a\\b",
    "tab in the host": "http://127.0\t.0.1/",
    "tab in the scheme": "ht\ttp://files.test/",
    "newline in the host": "http://127.0.\n0.1/",
    "newline at the end": "http://files.test/\n",
    "header injection": "http://files.test/\r\nX-Injected: 1",
    "nothing in the host": "http://\x00127.0.0.1/",
    "null in the path": "http://files.test/\x00",
    "delete": "http://files.test/\x7f",
    "space before": " http://127.0.0.1/",
    "no host": "http:///photo",
    "no slashes": "http:127.0.0.1",
    "no scheme": "//127.0.0.1/",
    "file": "file:///etc/passwd",
    "ftp": "ftp://files.test/",
    "gopher": "gopher://127.0.0.1:6379/_SLAVEOF",
    "dict": "dict://127.0.0.1:11211/stat",
    "data": "data:image/png;base64,AAAA",
    "javascript": "javascript:alert(1)",
    "unix socket": "http+unix://%2Fvar%2Frun%2Fdocker.sock/",
    "jar": "jar:http://127.0.0.1!/",
    "missing bracket": "http://[::1/",
    "extra bracket": "http://::1]/",
    "no address in brackets": "http://[localhost]/",
    "port of SSH": "http://files.test:22/",
    "port of mail": "http://files.test:25/",
    "port of DNS": "http://files.test:53/",
    "port of SMB": "http://files.test:445/",
    "port of Docker": "http://files.test:2375/",
    "port of MySQL": "http://files.test:3306/",
    "port of PostgreSQL": "http://files.test:5432/",
    "port of Redis": "http://files.test:6379/",
    "port of kubelet": "https://files.test:10250/",
    "port of memcached": "http://files.test:11211/",
    "port of MongoDB": "http://files.test:27017/",
    "port zero": "http://files.test:0/",
    "port too large": "http://files.test:65536/",
    "port huge": "http://files.test:4294967376/",
    "negative port": "http://files.test:-80/",
    "port not a number": "http://files.test:http/",
    "port with zeros": "http://files.test:000022/",
}

#: Addresses that these names resolve to; refused on look-up.
NAMES = {
    "localhost": ["127.0.0.1"],
    "localhost.": ["127.0.0.1"],
    "localhost.localdomain": ["::1"],
    "inside.test": ["10.0.0.5"],
    "metadata.google.internal": ["169.254.169.254"],
    "127.0.0.1.nip.io": ["127.0.0.1"],
    "localtest.me": ["::1"],
    "mixed.test": ["93.184.215.14", "192.168.0.1"],
    "mapped.test": ["::ffff:169.254.169.254"],
    "nat64.test": ["64:ff9b::a00:1"],
    "6to4.test": ["2002:a00:1::1"],
    "unspecified.test": ["::"],
    "zone.test": ["fe80::1%lo"],
    "xn--nx-yka.test": ["127.0.0.1"],
}
ON_CONNECTING = {name: f"http://{name}/" for name in NAMES} | {
    "localhost in capitals": "http://LOCALHOST/",
    "localhost, full width": "http://ｌｏｃａｌｈｏｓｔ/",
    "localhost, escaped": "http://%6c%6f%63%61%6c%68%6f%73%74/",
    "address, escaped": "http://%31%32%37.0.0.1/",
    "soft hyphens": "http://1\u00ad27.0.0.1/",
    "zero-width joiner": "http://127\u200d.0.0.1/",
    "space in the host": "http://127.0.0.1 /",
    "space and a public host": "http://127.0.0.1 files.test/",
    "name too long": f"http://{'a' * 300}.test/",
    "label too long": f"http://{'a' * 64}.test/",
    "broken punycode": "http://xn--a.xn--b-/",
    "fragment before an at": "http://inside.test#@files.test/",
    "query before an at": "http://inside.test?@files.test/",
    "five parts": "http://127.0.0.1.1/",
    "octet too large": "http://127.0.0.256/",
}

_connected: list[Any] = []


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if event in {"socket.connect", "socket.sendto"}:
        _connected.append(args[1])


sys.addaudithook(_audit)  # for the whole process: audit hooks cannot be removed


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The addresses connected to during the test. Look-ups are faked from `NAMES`."""

    def play(host: Any, port: int, *_: Any, **__: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        for address in NAMES.get(name.lower(), [name]):
            try:
                family = ipaddress.ip_address(address).version
            except ValueError:
                raise socket.gaierror(-2, "Name or service not known") from None
            known = socket.AF_INET if family == 4 else socket.AF_INET6
            yield known, socket.SOCK_STREAM, 6, "", (address, port)

    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: list(play(*args, **kwargs)))
    _connected.clear()
    return _connected


@pytest.fixture(scope="module")
def outbound() -> Outbound:
    return Outbound(Guard())


def test_the_table_has_80_urls_or_more_without_repeats() -> None:
    urls = [*ON_SUBMISSION.values(), *ON_CONNECTING.values()]
    assert len(urls) == len(set(urls)) >= 80


@pytest.mark.parametrize("url", ON_SUBMISSION.values(), ids=ON_SUBMISSION.keys())
def test_a_hostile_url_is_refused_on_submission(url: str) -> None:
    with pytest.raises(UrlForbidden):
        Guard().check_url(url)


CALLS: dict[str, Callable[[Outbound, str], object]] = {
    "fetch": lambda outbound, url: outbound.fetch(url, into=BytesIO(), max_bytes=100, timeout=2),
    "post": lambda outbound, url: outbound.post(url, headers={}, body=b"{}", timeout=2),
}
HOSTILE = ON_SUBMISSION | ON_CONNECTING


@pytest.mark.parametrize("url", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("call", CALLS)
def test_a_hostile_url_is_never_connected_to(
    outbound: Outbound, connected: list[Any], url: str, call: str
) -> None:
    with pytest.raises((UrlForbidden, UrlUnavailable)):
        CALLS[call](outbound, url)
    assert connected == []


@pytest.mark.parametrize("url", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_url_that_passed_submission_is_never_connected_to(
    outbound: Outbound, connected: list[Any], monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    """The check on connecting suffices by itself, without the check of the text."""
    monkeypatch.setattr(outbound.guard, "check_url", lambda _url: None)
    refusals = (UrlForbidden, UrlUnavailable, httpcore.UnsupportedProtocol, ValueError)
    with pytest.raises(refusals):
        outbound.fetch(url, into=BytesIO(), max_bytes=100, timeout=2)
    assert connected == []


def test_the_audit_hook_sees_a_connection(connected: list[Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(UrlUnavailable):
            Outbound(Guard(["127.0.0.0/8"])).fetch(
                f"http://127.0.0.1:{port}/", into=BytesIO(), max_bytes=100, timeout=0.2
            )
    assert connected == [("127.0.0.1", port)]


@pytest.mark.parametrize("port", [6379, 22])
def test_an_allowed_network_does_not_open_other_protocols_ports(
    connected: list[Any], port: int
) -> None:
    open_house = Guard(["127.0.0.0/8"])
    with pytest.raises(UrlForbidden, match=str(port)):
        open_house.check_url(f"http://127.0.0.1:{port}/")
    with pytest.raises(UrlForbidden, match=str(port)):
        open_house.resolve("127.0.0.1", port, timeout=1)
    assert connected == []


@pytest.mark.parametrize("port", ["", ":80", ":443", ":8000", ":8080", ":8443", ":9000", ":49152"])
def test_web_ports_are_allowed(port: str) -> None:
    Guard().check_url(f"https://files.test{port}/")
