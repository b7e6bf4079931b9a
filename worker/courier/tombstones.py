"""What callers erased stays erased, even if Redis is rolled back to a state that remembers it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import islice

from shared.queue.forgotten import Forgotten, Name
from shared.records import Records
from shared.storage import Storage, Stored, keys

log = logging.getLogger("nukki.reconcile")

_AT_ONCE = 500
_FIRST = "~erased/"


class Tombstones:
    """Erases again what a restarted Redis has brought back.

    A rollback is a restart: the Redis process has another run id. Then, and when the courier
    starts, every tombstone is compared with Redis; at other times this costs one INFO.
    """

    def __init__(self, forgotten: Forgotten, records: Records, storage: Storage) -> None:
        self._forgotten = forgotten
        self._records = records
        self._storage = storage
        self._run_id: str | None = None

    def apply(self) -> None:
        """Erase again what has come back, if Redis was started since the last call.

        Raises:
            QueueUnavailable, StorageUnavailable: all tombstones are compared again later.
        """
        run_id = self._forgotten.run_id()
        if run_id == self._run_id:
            return
        tombstones = self._storage.walk(_FIRST)
        while found := list(islice(tombstones, _AT_ONCE)):
            self._erase(found)
        self._run_id = run_id

    def _erase(self, found: Sequence[Stored]) -> None:
        tenants, names = dict[str, str](), []
        for item in found:
            parts = keys.read(keys.ERASED, item.key)
            if parts is not None:
                tenants[parts["job"]] = parts["tenant"]
                names.append(Name("job", parts["job"], item.key))
        unknown = {name.owner for name in self._forgotten.unknown(names)}
        for job_id in tenants.keys() - unknown:
            erased = self._records.erase(job_id, tenants[job_id])
            if erased is not None:  # its files, if any came back, are noted for the sweeper
                log.warning("had come back and is erased again", extra={"job": job_id})
