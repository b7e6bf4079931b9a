"""Webhook messages, signed by Standard Webhooks 1.0 (standardwebhooks.com, "Signature scheme")."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from shared.errors import ConfigError
from shared.job import Job
from shared.view import JobView

_PREFIX = "whsec_"


def new_secret() -> str:
    """A new signing secret of 256 random bits."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except ValueError as error:  # binascii.Error is one, and so is the error for non-ASCII text
        raise ConfigError("a webhook secret is not whsec_ followed by base64") from error
    if len(key) < 24:
        raise ConfigError("a webhook secret is shorter than 24 bytes")
    return key


def signature(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """`v1,` and the base64 HMAC-SHA256 of `id.timestamp.body`."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    digest = hmac.new(_key(secret), signed, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def headers(message_id: str, timestamp: int, body: bytes, signing: Sequence[str]) -> dict[str, str]:
    """The headers of one try, signed with each secret in `signing` (several while rotating)."""
    signatures = (signature(secret, message_id, timestamp, body) for secret in signing)
    return {
        "Content-Type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signatures),
    }


def body(event: str, job: Job) -> bytes:
    """The JSON body `{type, timestamp, data}`, the same bytes on every try."""
    moment = datetime.fromtimestamp((job.finished_ms or job.created_ms) / 1000, UTC)
    data = JobView.of(job).model_dump(mode="json")
    message = {"type": event, "timestamp": moment.isoformat(), "data": data}
    return json.dumps(message, separators=(",", ":")).encode()


class SecretBook:
    """Each tenant's signing secrets, shared by all of its API keys."""

    def __init__(self, entries: Sequence[tuple[str, str]]) -> None:
        book: dict[str, list[str]] = {}
        for tenant, secret in entries:
            _key(secret)
            book.setdefault(tenant, []).append(secret)
        self._book: Mapping[str, Sequence[str]] = book

    def of(self, tenant: str) -> Sequence[str]:
        """The tenant's valid secrets, newest last; empty if it has none."""
        return self._book.get(tenant, ())
