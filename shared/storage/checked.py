"""Reading a stored file whose size and digest are known: what comes back is never taken on trust.

A proxy's page, a cut answer, another object's bytes: whatever the storage gives in place of the
file is an outage like any other, and is tried again.
"""

from __future__ import annotations

import hashlib

from shared.errors import StorageUnavailable
from shared.storage.protocol import Storage


def read(
    storage: Storage, key: str, *, size: int | None = None, sha256: str | None = None
) -> bytes:
    """The object's bytes, compared with what is known of them.

    Raises:
        NotFound: there is no such object.
        StorageUnavailable: the storage is down, or these are other bytes.
    """
    data = storage.get(key)
    if size is not None:
        require_size(size, len(data))
    if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
        raise StorageUnavailable("the storage gave other bytes than were stored")
    return data


def require_size(known: int, found: int) -> None:
    """Raise StorageUnavailable unless the two sizes, in bytes, are the same."""
    if known != found:
        raise StorageUnavailable(f"the storage gave {found:,} bytes of {known:,}")
