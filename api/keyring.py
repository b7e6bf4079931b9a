"""API keys, and the tenant that each belongs to."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from flask import g, request

from shared.errors import ConfigError, Unauthorized
from shared.settings import DEFAULT_TENANT

#: Marks a call in OpenAPI as requiring a key; the app defines the schemes.
SECURITY: list[dict[str, list[str]]] = [{"key": []}, {"bearer": []}]

_SHORTEST = 16


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


class Keyring:
    """The valid API keys. A tenant may have several, so that they can be rotated."""

    def __init__(self, entries: Sequence[tuple[str, str]]) -> None:
        for tenant, key in entries:
            if len(key) < _SHORTEST:
                raise ConfigError(f"an API key of {tenant} is shorter than {_SHORTEST} characters")
        # By digest: the time of a look-up then does not reveal how much of a key was right.
        self._tenants = {_digest(key): tenant for tenant, key in entries}

    def tenant(self, api_key: str | None) -> str:
        """The tenant of a key; if no keys are configured, every caller is the default tenant.

        Raises:
            Unauthorized: no key, or one that is not valid.
        """
        if not self._tenants:
            return DEFAULT_TENANT
        if not api_key:
            raise Unauthorized
        tenant = self._tenants.get(_digest(api_key))
        if tenant is None:
            raise Unauthorized("that API key is not valid")
        return tenant


def presented_key() -> str | None:
    """The current request's key, from either header; None without one."""
    if key := request.headers.get("X-Api-Key"):
        return key
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def tenant() -> str:
    """The current request's tenant."""
    return str(g.tenant)
