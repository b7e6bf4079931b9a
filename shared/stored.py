"""The files of a finished job, as its record knows them."""

from __future__ import annotations

from shared.job import Job, Result, StoredFile
from shared.storage import Storage, checked, keys


def read_file(storage: Storage, job: Job, name: str) -> bytes:
    """The file `name` of a finished job; never other bytes than its worker stored.

    Raises:
        NotFound: it is gone.
        StorageUnavailable: the storage is down, or gave other bytes.
    """
    key = keys.attempt_key(job.tenant, job.id, job.claims, name)
    known = _known(job, name)
    if known is None:  # finished by an older version
        return storage.get(key)
    return checked.read(storage, key, size=known.bytes, sha256=known.sha256)


def _known(job: Job, name: str) -> Result | StoredFile | None:
    if job.outcome is None:
        return None
    return job.outcome.result if name == keys.RESULT else job.outcome.files.get(name)
