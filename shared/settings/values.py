"""Types of settings that are lists in one variable, and which hosts are this machine."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import AliasChoices, BeforeValidator, Field
from pydantic_settings import NoDecode

#: The tenant of every caller while no API keys are set.
DEFAULT_TENANT = "default"

_NAME = re.compile(r"\*|(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_TENANT = re.compile(r"^[a-z0-9][a-z0-9_-]{0,31}$")


def also_without_prefix(name: str) -> Any:
    """A field that is set by the variable `name` or by `NUKKI_` and that name."""
    return Field(validation_alias=AliasChoices(name, f"NUKKI_{name}"))


def _pairs(value: object) -> tuple[tuple[str, str], ...]:
    """Split `"shop:secret,other:secret2"` into pairs; a list of pairs passes through."""
    if not isinstance(value, str):
        return tuple(value) if isinstance(value, list | tuple) else ()
    pairs = []
    for number, item in enumerate(filter(None, (part.strip() for part in value.split(","))), 1):
        tenant, colon, secret = item.partition(":")
        if not colon or not _TENANT.match(tenant) or not secret:
            # The entry may hold a secret, so the message gives only its position.
            raise ValueError(f"entry {number} is not tenant:secret (tenant: a-z, 0-9, - and _)")
        pairs.append((tenant, secret))
    return tuple(pairs)


def _split(value: object) -> object:
    """Split a text at its commas; anything else passes through."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _hosts(value: object) -> object:
    """Split a list of hosts, and refuse an entry that no Host header could match."""
    entries = _split(value)
    for number, entry in enumerate(entries if isinstance(entries, tuple) else (), 1):
        if not (_NAME.fullmatch(entry) or _network(entry)):
            raise ValueError(f"entry {number} is no host: give names or addresses without a port")
    return tuple(map(str.lower, entries)) if isinstance(entries, tuple) else entries


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def matches_host(name: str, entries: Iterable[str]) -> bool:
    """Whether a host, in lower case and without port or brackets, is one of these entries."""
    network = _network(name)
    for entry in entries:
        if entry in {"*", name} or (entry.startswith("*.") and name.endswith(entry[1:])):
            return True
        listed = _network(entry)
        if network and listed and network[0] in listed:  # never of the other IP version
            return True
    return False


#: `tenant:secret,tenant:secret`.
TenantSecrets = Annotated[tuple[tuple[str, str], ...], NoDecode, BeforeValidator(_pairs)]
#: A field's type is tuple[...]; its variable holds the items with commas between them.
COMMA_SEPARATED = (NoDecode, BeforeValidator(_split))
#: Names (`*.name` for all below it, `*` for any), addresses and networks, in lower case.
Hosts = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_hosts)]


def is_loopback(host: str) -> bool:
    """Whether `host`, a name or an address, can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
