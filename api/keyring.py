"""API keys: who a caller is."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from flask import g, request

from shared.errors import ConfigError, Unauthorized
from shared.settings import DEFAULT_TENANT

#: How OpenAPI says that a call wants a key; the schemes themselves are the app's.
SECURITY: list[dict[str, list[str]]] = [{"key": []}, {"bearer": []}]

_SHORTEST = 16


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


class Keyring:
    """The keys in force. A tenant may have several, so that they can be rotated."""

    def __init__(self, entries: Sequence[tuple[str, str]]) -> None:
        for tenant, key in entries:
            if len(key) < _SHORTEST:
                raise ConfigError(f"an API key of {tenant} is shorter than {_SHORTEST} characters")
        # By digest: a look-up's timing then says nothing of how much of a key was right.
        self._tenants = {_digest(key): tenant for tenant, key in entries}

    def tenant(self, api_key: str | None) -> str:
        """Whose key it is; while there are no keys everyone is the default tenant.

        Raises:
            Unauthorized: no key, or one that is not in force.
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
    """The key that the current request carries, by either header."""
    if key := request.headers.get("X-Api-Key"):
        return key
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def tenant() -> str:
    """The current request's tenant."""
    return str(g.tenant)
