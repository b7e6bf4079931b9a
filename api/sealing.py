"""Sealing an upload: its first job copies it out of its signed address's reach.

A signed address takes bytes until it expires, and on S3 it cannot be revoked. It writes to
`keys.UPLOAD`; jobs read `keys.INPUT`, which only the service writes.
"""

from __future__ import annotations

import contextlib

from api.services import Services
from shared.errors import InvalidRequest, NotFound, StorageUnavailable
from shared.queue.uploads import seal_upload
from shared.storage import keys


def seal(services: Services, tenant: str, upload_id: str) -> int:
    """Copy an upload to where its jobs read it, unless that was done; returns its size in bytes.

    Of callers at the same time all copy the version that Redis settled first, so a `PUT` among
    them changes nothing.

    Raises:
        NotFound: there is no such upload, or it is another tenant's.
        InvalidRequest: it has no file.
        QueueUnavailable, StorageUnavailable: try again later.
    """
    storage = services.storage
    source, target = keys.upload_key(tenant, upload_id), keys.input_key(tenant, upload_id)
    size = storage.size(target)
    if size is not None:
        return size
    found = storage.version(source)
    if found is not None:
        version = seal_upload(services.connection, upload_id, tenant, found)
        with contextlib.suppress(NotFound):
            storage.copy(source, target, version)
    size = storage.size(target)  # after all of that, because another request may have copied it
    if size is None:
        replaced = "it was replaced while a job began to use it; create another upload"
        raise InvalidRequest.field("upload", replaced if found else "the upload has no file yet")
    with contextlib.suppress(StorageUnavailable):  # else it is swept when its address expires
        storage.delete([source])
    return size
