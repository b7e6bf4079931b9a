"""Types of settings that are lists in one variable, and which hosts are this machine."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any

from pydantic import AliasChoices, BeforeValidator, Field
from pydantic_settings import NoDecode

#: The tenant of every caller while no API keys are set.
DEFAULT_TENANT = "default"

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


#: `tenant:secret,tenant:secret`.
TenantSecrets = Annotated[tuple[tuple[str, str], ...], NoDecode, BeforeValidator(_pairs)]
#: A field's type is tuple[...]; its variable holds the items with commas between them.
COMMA_SEPARATED = (NoDecode, BeforeValidator(_split))


def is_loopback(host: str) -> bool:
    """Whether `host`, a name or an address, can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
