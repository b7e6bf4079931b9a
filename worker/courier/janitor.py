"""The janitor: rings for unclaimed jobs, returns those of dead workers, fails poisoned ones."""

from __future__ import annotations

import contextlib
import logging
import time

from shared.errors import NotFound, QueueUnavailable
from shared.metrics.jobs import count_end
from shared.queue.doorbell import Bell
from shared.queue.jobs import JobQueue
from shared.queue.upkeep import Upkeep

log = logging.getLogger("nukki.janitor")


class Janitor:
    """Handles expired leases and unclaimed jobs. Any number of copies may run at once.

    It never touches storage: a worker's death is detected even while storage is down.
    """

    def __init__(
        self,
        upkeep: Upkeep,
        jobs: JobQueue,
        doorbell: Bell,
        *,
        patience: float = 0.0,
    ) -> None:
        """`patience`: seconds that workers get to renew leases after an outage or a clock jump."""
        self._upkeep = upkeep
        self._patience = patience
        self._away = False
        self._resume = 0.0
        self._jobs = jobs
        self._doorbell = doorbell

    def look(self) -> bool:
        """Handle a batch of overdue jobs; returns whether there are more.

        After a Redis outage, or when Redis's clock jumped forward, workers get time to renew
        before expired leases count as deaths.
        """
        if self._away:
            self._upkeep.ping()
            self._away, self._resume = False, time.monotonic() + self._patience
        if time.monotonic() < self._resume:
            return False
        try:
            overdue = self._upkeep.overdue()
        except QueueUnavailable:
            self._away = True
            raise
        if overdue.jumped:
            log.warning("Redis's clock jumped forward; leases get %.0f s more", self._patience)
            self._resume = time.monotonic() + self._patience
        for job_id, lane in overdue.rings:
            self._doorbell.ring(job_id, lane)
        for job_id in overdue.poisoned:
            log.warning("poisoned", extra={"job": job_id})
            self._count(job_id)
        return overdue.more

    def _count(self, job_id: str) -> None:
        with contextlib.suppress(
            NotFound, QueueUnavailable
        ):  # an uncounted job must not stop the round
            job = self._jobs.get(job_id)
            count_end(job, job.status)
