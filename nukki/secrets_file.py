"""The secrets that a stack generates once and keeps: Redis's password, the webhooks' secrets."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nukki import private_files
from shared import webhooks
from shared.errors import ConfigError

_REDIS, _WEBHOOK = "redis", "webhook:"
_PASSWORD = re.compile(r"[A-Za-z0-9_-]{16,}")


def kept(path: Path, tenants: Iterable[str]) -> dict[str, str]:
    """All secrets in the file, after adding those that are missing.

    Returns:
        `redis`: the password; `webhook:TENANT`: a tenant's signing secret.

    Raises:
        ConfigError: the file is damaged. It is left as it is: new secrets would make receivers
            refuse every webhook.
    """
    known = _read(path)
    wanted = {_REDIS: secrets.token_hex(24)}
    wanted |= {f"{_WEBHOOK}{tenant}": webhooks.new_secret() for tenant in sorted(tenants)}
    if wanted.keys() - known.keys():
        known = wanted | known
        try:
            private_files.replace(path, json.dumps(known, indent=1))
        except OSError as error:
            raise ConfigError(f"cannot write {path}: {error.strerror}") from error
    return known


def _read(path: Path) -> dict[str, str]:
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    try:
        return _checked(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, ConfigError):
        state = "damaged" if text.strip() else "empty"
        raise ConfigError(
            f"{path} is {state}: restore it from a copy. Without one, delete it: new secrets are "
            "made, and receivers of webhooks need the new ones"
        ) from None


def _checked(known: Any) -> dict[str, str]:
    """The same secrets; raises ValueError, or what a wrong type causes, if they are not sound."""
    signing = [(name, value) for name, value in known.items() if name != _REDIS]
    webhooks.SecretBook(signing)
    if not _PASSWORD.fullmatch(known[_REDIS]) or not all(map(_is_webhooks, dict(signing))):
        raise ValueError
    return dict(known)


def _is_webhooks(name: str) -> bool:
    return name.startswith(_WEBHOOK)


def signing(known: dict[str, str]) -> str:
    """The webhooks' secrets as the variable `NUKKI_WEBHOOK_SECRETS` holds them."""
    return ",".join(
        f"{name.removeprefix(_WEBHOOK)}:{value}"
        for name, value in known.items()
        if _is_webhooks(name)
    )
