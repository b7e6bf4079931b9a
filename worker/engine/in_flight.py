"""InFlightLimit: bounds how much work is in flight at once."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from operator import attrgetter

from worker.engine.device_queue import MAX_PASSED_OVER


@dataclass(eq=False, slots=True)
class Reservation:
    """`amount` units of a limit, held until the block that reserved them ends."""

    amount: int
    _limit: InFlightLimit

    def shrink(self, amount: int) -> None:
        """Release all but `amount` units; a larger `amount` changes nothing."""
        spare = max(0, self.amount - amount)
        self.amount -= spare
        self._limit.release(spare)


@dataclass(order=True, slots=True)
class _Waiter:
    can_wait: bool  # False: urgent
    order: int
    amount: int = field(compare=False)
    admitted: threading.Event = field(compare=False, default_factory=threading.Event)


class InFlightLimit:
    """A fixed number of units, reserved by urgent waiters first, then in order of arrival.

    A smaller request never overtakes a larger one in front of it, since a large photo would
    otherwise wait for ever. The oldest waiter becomes urgent after being passed over
    `MAX_PASSED_OVER` times. A request for more than the limit is cut to the whole limit, so it runs
    alone.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0
        self._waiting: list[_Waiter] = []
        self._order = itertools.count()
        self._passed = 0  # admissions in a row that left the oldest waiting
        self._lock = threading.Lock()

    @contextmanager
    def holding(self, amount: int, *, urgent: bool = False) -> Iterator[Reservation]:
        """Wait until `amount` units are free, and hold them while the block runs."""
        amount = min(max(amount, 0), self.limit)
        self._wait(_Waiter(not urgent, next(self._order), amount))
        reservation = Reservation(amount, self)
        try:
            yield reservation
        finally:
            self.release(reservation.amount)

    def _wait(self, waiter: _Waiter) -> None:
        with self._lock:
            heapq.heappush(self._waiting, waiter)
            self._admit()
        waiter.admitted.wait()

    def release(self, amount: int) -> None:
        """Free `amount` units; called by reservations."""
        with self._lock:
            self.held -= amount
            self._admit()

    def _admit(self) -> None:
        """Admit waiters in order until the first one left does not fit."""
        while self._waiting:
            oldest = min(self._waiting, key=attrgetter("order"))
            if self._passed >= MAX_PASSED_OVER and oldest.can_wait:
                oldest.can_wait = False
                heapq.heapify(self._waiting)
            if self.held + self._waiting[0].amount > self.limit:
                return
            waiter = heapq.heappop(self._waiting)
            self._passed = 0 if waiter is oldest else self._passed + 1
            self.held += waiter.amount
            waiter.admitted.set()
