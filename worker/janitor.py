"""The janitor: rings for forgotten jobs, takes back those of dead workers, clears what is past."""

from __future__ import annotations

import contextlib
import logging
import time

from shared.errors import NotFound, QueueUnavailable, StorageUnavailable
from shared.metrics.jobs import count_end
from shared.queue.doorbell import Bell
from shared.queue.jobs import JobQueue
from shared.queue.upkeep import Past, Upkeep
from shared.records import Records
from shared.storage import Storage
from shared.storage.keys import files_of

log = logging.getLogger("nukki.janitor")

_TIDY_EVERY = 600.0


class Janitor:
    """What time does to jobs and files. Any number of copies may run at once."""

    def __init__(
        self,
        upkeep: Upkeep,
        jobs: JobQueue,
        storage: Storage,
        doorbell: Bell,
        *,
        patience: float = 0.0,
    ) -> None:
        """`patience`: seconds that workers have to renew their leases when Redis has been away."""
        self._upkeep = upkeep
        self._patience = patience
        self._away = False
        self._resume = 0.0
        self._jobs = jobs
        self._storage = storage
        self._records = Records(jobs, storage)
        self._doorbell = doorbell
        self._tidied = -_TIDY_EVERY

    def look(self) -> int:
        """See to every overdue job; how many doorbells were rung.

        A lease that ran out while Redis was away is no death: its worker is given time to say so.
        """
        if self._away:
            self._upkeep.ping()
            self._away, self._resume = False, time.monotonic() + self._patience
        if time.monotonic() < self._resume:
            return 0
        try:
            overdue = self._upkeep.overdue()
        except QueueUnavailable:
            self._away = True
            raise
        for job_id, lane in overdue.rings:
            self._doorbell.ring(job_id, lane)
        for job_id in overdue.poisoned:
            log.warning("poisoned", extra={"job": job_id})
            self._count(job_id)
        return len(overdue.rings)

    def _count(self, job_id: str) -> None:
        with contextlib.suppress(NotFound, QueueUnavailable):  # a round is worth more than a count
            job = self._jobs.get(job_id)
            count_end(job, job.status)

    def _clear(self, past: Past) -> None:
        if not past.erase:
            self._records.archive(past.job_id)
        elif past.remains is None:
            self._jobs.erase(past.job_id)
        else:
            self._jobs.erase_remains(past.job_id, past.remains)

    def _tidy(self) -> None:
        if time.monotonic() >= self._tidied + _TIDY_EVERY:
            self._tidied = time.monotonic()
            with contextlib.suppress(StorageUnavailable):
                gone = self._storage.tidy()
                if gone:
                    log.info("%d broken-off files removed", gone)

    def clear(self) -> int:
        """Archive finished jobs, erase those past their retention and files that nothing refers to.

        Returns how many of those files went.
        """
        for past in self._upkeep.past():
            try:
                self._clear(past)
            except StorageUnavailable as error:
                log.info("not archived yet: %s", error)
                break
        self._tidy()
        gone = 0
        for name in self._upkeep.sweepable():
            try:
                self._storage.delete(files_of(name))
            except StorageUnavailable as error:
                log.info("not swept yet: %s", error)
                break
            self._jobs.swept(name)
            gone += 1
        return gone
