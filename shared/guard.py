"""Which addresses may be connected to, for URLs that callers name."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

from shared.errors import ConfigError, UrlForbidden, UrlUnavailable

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
#: Not for strangers, though `ipaddress` calls them global (some of them until Python 3.13).
_INTERNAL = [
    ipaddress.ip_network(network)
    for network in (
        "168.63.129.16/32",  # Azure's services for its own machines
        "192.0.0.0/24",  # protocol assignments; Oracle's metadata
        "192.88.99.0/24",  # 6to4 relays, retired
        "fec0::/10",  # site-local, retired
    )
]


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
        """Public, or in an allowed network."""
        inner = _embedded(address)
        if any(candidate in network for candidate in (address, inner) for network in self._allowed):
            return True
        if any(inner in network for network in _INTERNAL):
            return False
        return inner.is_global and not inner.is_multicast and not inner.is_reserved

    def check_url(self, url: str) -> None:
        """Refuse a URL that is wrong by its letters alone; names are not resolved here.

        Raises:
            UrlForbidden: not http(s), with a password, or a literal address that is not permitted.
        """
        try:
            parts = urlsplit(url)
            host, _port = parts.hostname, parts.port
        except ValueError as error:
            raise UrlForbidden(f"not a URL: {error}") from error
        if parts.scheme not in {"http", "https"} or not host:
            raise UrlForbidden("only http and https URLs are followed")
        if parts.username or parts.password:
            raise UrlForbidden("a URL with a user name or password is not followed")
        literal = _literal(host)
        if literal is not None:
            self._require([literal])

    def resolve(self, host: str, port: int) -> list[str]:
        """The host's addresses, all of them permitted.

        Raises:
            UrlForbidden: one of them is not.
            UrlUnavailable: the name has none.
        """
        try:
            answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise UrlUnavailable(f"{host} has no address") from error
        addresses = [ipaddress.ip_address(answer[4][0]) for answer in answers]
        self._require(addresses)
        return [str(address) for address in addresses]

    def _require(self, addresses: Sequence[IPAddress]) -> None:
        if not all(self.permits(address) for address in addresses):
            raise UrlForbidden  # without the address: an answer must not map a private network


def _literal(host: str) -> IPAddress | None:
    """A host that is itself an address, in any form a resolver would take (octal, decimal, hex)."""
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except OSError:
        return None
