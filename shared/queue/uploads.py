"""Uploads as the API seals them: from its first job on, an upload keeps its bytes."""

from __future__ import annotations

from shared.errors import NotFound
from shared.queue.connection import Connection


def seal_upload(connection: Connection, upload_id: str, tenant: str, version: str) -> str:
    """Settle which version of an upload its jobs read; returns the one that was settled first.

    Raises:
        NotFound: there is no such upload, or it is another tenant's.
    """
    settled = connection.run("seal_upload", id=upload_id, tenant=tenant, version=version)
    if settled is None:
        raise NotFound(f"no such upload: {upload_id}")
    return str(settled)
