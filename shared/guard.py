"""Checks which addresses may be connected to for URLs from callers."""

from __future__ import annotations

import ipaddress
import re
import socket
import unicodedata
from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

from shared.dns import look_up
from shared.errors import ConfigError, UrlForbidden

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
#: Internal networks that `ipaddress` calls global (some of them until Python 3.13).
_INTERNAL = [
    ipaddress.ip_network(network)
    for network in (
        "168.63.129.16/32",  # Azure's services for its own machines
        "192.0.0.0/24",  # protocol assignments; Oracle's metadata
        "192.88.99.0/24",  # 6to4 relays, retired
        "fec0::/10",  # site-local, retired
        "3fff::/20",  # documentation, since 2024
    )
]
#: Ports of other protocols, which could read a request as commands: the browsers' list
#: (fetch.spec.whatwg.org, "bad port"), and below it databases, brokers and remote control.
_FOREIGN_PORTS = frozenset(
    (
        *(0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95),
        *(101, 102, 103, 104, 109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179),
        *(389, 427, 465, 512, 513, 514, 515, 526, 530, 531, 532, 540, 548, 554, 556, 563, 587, 601),
        *(636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000),
        *(6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080),
        *(445, 873, 1433, 1521, 2181, 2375, 2376, 2379, 2380, 3306, 3389, 4369, 5432, 5672, 5900),
        *(5985, 5986, 6379, 6380, 9042, 9092, 10250, 11211, 16379, 26379, 27017, 27018, 27019),
    )
)
#: Characters that URL parsers disagree about: some drop them, some end the host there.
_AMBIGUOUS = re.compile(r"[\x00-\x1f\x7f\\]")


def _embedded(address: IPAddress) -> IPAddress:
    """The IPv4 address inside a v6 one that only wraps it; else the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped or address.sixtofour:
        return address.ipv4_mapped or address.sixtofour or address
    if address.teredo:
        return address.teredo[1]
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


class Guard:
    """Decides which addresses may be connected to."""

    def __init__(self, allow_networks: Iterable[str] = ()) -> None:
        try:
            self._allowed: list[IPNetwork] = [ipaddress.ip_network(net) for net in allow_networks]
        except ValueError as error:
            raise ConfigError(f"allow_networks: {error}") from error

    def permits(self, address: IPAddress) -> bool:
        """Whether the address is public or in an allowed network."""
        inner = _embedded(address)
        if any(candidate in network for candidate in (address, inner) for network in self._allowed):
            return True
        if any(inner in network for network in _INTERNAL):
            return False
        return inner.is_global and not inner.is_multicast and not inner.is_reserved

    def check_url(self, url: str) -> None:
        """Refuse a URL by its text alone; names are not resolved here.

        Raises:
            UrlForbidden: not http(s), with a password, on another protocol's port, or a literal
                address that is not permitted.
        """
        if _AMBIGUOUS.search(url):
            raise UrlForbidden("not a URL: it has a control character or a backslash")
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise UrlForbidden(f"not a URL: {error}") from error
        if parts.scheme not in {"http", "https"} or not host:
            raise UrlForbidden("only http and https URLs are followed")
        if parts.username or parts.password:
            raise UrlForbidden("a URL with a user name or password is not followed")
        literal = _literal(host)
        if literal is not None:
            self._require([literal])
        if port in _FOREIGN_PORTS:
            raise UrlForbidden(f"port {port} belongs to another protocol")

    def resolve(self, host: str, port: int, *, timeout: float) -> list[str]:
        """Look up the host's addresses, all of which must be permitted.

        Raises:
            UrlForbidden: one of them is not permitted, or the port belongs to another protocol.
            UrlUnavailable: the name has no address, or none was found in time.
        """
        if port in _FOREIGN_PORTS:
            raise UrlForbidden(f"port {port} belongs to another protocol")
        addresses = [ipaddress.ip_address(item) for item in look_up(host, port, timeout=timeout)]
        self._require(addresses)
        return [str(address) for address in addresses]

    def _require(self, addresses: Sequence[IPAddress]) -> None:
        if not all(self.permits(address) for address in addresses):
            raise UrlForbidden  # without the address: an answer must not map a private network


def _literal(host: str) -> IPAddress | None:
    """A host that is itself an address, in any form a resolver would take (octal, decimal, hex)."""
    # As IDNA reads digits and dots of other widths (RFC 3490, 3.1: U+3002 and U+FF61 are dots).
    host = unicodedata.normalize("NFKC", host).replace("\u3002", ".").rstrip(".")
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except OSError:
        return None
