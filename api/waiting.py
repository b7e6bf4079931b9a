"""Callers waiting for a job: how many may, whose turn it is, and how they are woken."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from api.bells import Bells
from shared.errors import Busy
from shared.job import Job
from shared.queue.connection import Connection
from shared.queue.jobs import JobQueue

#: Seconds after which a waiter looks at its job itself. While Redis answers, its bell rings first.
_LOOK_EVERY = 10.0


@dataclass(eq=False, slots=True)
class Place:
    """A caller's place in the waiting room."""

    tenant: str
    bell: threading.Event = field(default_factory=threading.Event)
    #: Whether the place was given to another tenant's caller, or the server is stopping.
    lost: bool = False

    def give_up(self) -> None:
        """Wake the caller, which then leaves."""
        self.lost = True
        self.bell.set()


class WaitingRoom:
    """A bounded number of waiting callers, shared fairly between tenants.

    When all places are taken, a caller of a tenant that has fewer gets the place of the tenant
    that has most; its longest waiting caller is asked to come again.
    """

    def __init__(self, connection: Connection, jobs: JobQueue, *, places: int) -> None:
        self._jobs = jobs
        self._places = places
        self._bells = Bells(connection)
        self._lock = threading.Lock()
        self._taken: dict[str, list[Place]] = {}
        self._closed = False

    @contextmanager
    def place(self, tenant: str) -> Iterator[Place]:
        """Hold a place while the block runs.

        Raises:
            Busy: this tenant has its share of the places, and none is free.
        """
        place = Place(tenant)
        with self._lock:
            self._make_room(tenant)
            self._taken.setdefault(tenant, []).append(place)
        try:
            yield place
        finally:
            with self._lock:
                self._leave(place)

    def wait(self, place: Place, job_id: str, seconds: float) -> Job:
        """Wait until the job has finished, at most `seconds`; returns it as it then is.

        Raises:
            NotFound: there is no such job, or it was erased meanwhile.
            Busy: the place was lost before the job finished.
        """
        deadline = time.monotonic() + seconds
        with self._bells.hung(job_id, place.bell):
            while True:
                job = self._jobs.get(job_id, place.tenant)
                left = deadline - time.monotonic()
                if job.is_terminal or left <= 0:
                    return job
                if place.lost:
                    raise Busy("too many callers are waiting, or the server is stopping; ask again")
                place.bell.wait(min(left, _LOOK_EVERY))
                place.bell.clear()

    def close(self) -> None:
        """Wake every waiter, and let nobody wait any more."""
        with self._lock:
            self._closed = True
            for places in self._taken.values():
                for place in places:
                    place.give_up()
        self._bells.close()

    def _make_room(self, tenant: str) -> None:
        if self._closed:
            raise Busy("the server is stopping; ask again")
        if sum(map(len, self._taken.values())) < self._places:
            return
        greediest = max(self._taken.values(), key=len)
        if len(greediest) <= len(self._taken.get(tenant, ())) + 1:
            raise Busy
        displaced = greediest[0]
        self._leave(displaced)
        displaced.give_up()

    def _leave(self, place: Place) -> None:
        places = self._taken.get(place.tenant, [])
        if place in places:  # it may have been given away
            places.remove(place)
        if not places:
            self._taken.pop(place.tenant, None)
