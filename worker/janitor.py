"""The janitor: rings for forgotten jobs, takes back those of dead workers, clears what is past."""

from __future__ import annotations

import contextlib
import logging

from shared.errors import NotFound, QueueUnavailable, StorageUnavailable
from shared.metrics.jobs import count_end
from shared.queue.doorbell import Bell
from shared.queue.jobs import JobQueue
from shared.queue.upkeep import Upkeep
from shared.storage import Storage
from shared.storage.keys import files_of

log = logging.getLogger("nukki.janitor")


class Janitor:
    """What time does to jobs and files. Any number of copies may run at once."""

    def __init__(self, upkeep: Upkeep, jobs: JobQueue, storage: Storage, doorbell: Bell) -> None:
        self._upkeep = upkeep
        self._jobs = jobs
        self._storage = storage
        self._doorbell = doorbell

    def look(self) -> int:
        """See to every overdue job; how many doorbells were rung."""
        overdue = self._upkeep.overdue()
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

    def clear(self) -> int:
        """Erase jobs past their retention and files nothing refers to; how many files went."""
        for job_id in self._upkeep.expired():
            self._jobs.erase(job_id)
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
