"""The jobs that this worker has no room for yet. They stay queued, and keep no thread."""

from __future__ import annotations

import threading
from collections import Counter

#: Jobs that wait per tenant. The janitor rings again for those that find no place here.
_PLACES = 250


class WaitingRoom:
    """Ids of jobs that wait for a download slot or for the in-flight limit.

    Nobody owns them: any worker may claim them, and if this one dies nothing is lost. It keeps
    those in order that came first, and ignores further doorbells for them.
    """

    def __init__(self, places: int = _PLACES) -> None:
        self._places = places
        self._tenants: dict[str, str] = {}
        self._taken: Counter[str] = Counter()
        self._lock = threading.Lock()

    def enter(self, job_id: str, tenant: str) -> bool:
        """Let a job wait; False if it does already, or its tenant's places are taken."""
        with self._lock:
            if job_id in self._tenants or self._taken[tenant] >= self._places:
                return False
            self._tenants[job_id] = tenant
            self._taken[tenant] += 1
            return True

    def leave(self, job_id: str) -> None:
        """The job waits no longer."""
        with self._lock:
            tenant = self._tenants.pop(job_id, None)
            if tenant is not None:
                self._taken[tenant] -= 1

    def __len__(self) -> int:
        return len(self._tenants)
