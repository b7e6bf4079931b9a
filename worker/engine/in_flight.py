"""InFlightLimit: bounds how much work is in flight at once."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from operator import attrgetter

from worker.engine.device_queue import MAX_PASSED_OVER

#: After memory ran out, the limit is halved, never below a sixteenth. It grows back by an eighth of
#: the whole for each `_GROW_EVERY` seconds in which memory sufficed.
_LEAST, _STEP = 16, 8
_GROW_EVERY = 30.0
#: Seconds in which running out again is the same shortage: all that is in hand feels it at once.
_SAME_SHORTAGE = 5.0


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
    """A number of units, reserved by urgent waiters first, then in order of arrival.

    A smaller request never overtakes a larger one in front of it, since a large photo would
    otherwise wait for ever. The oldest waiter becomes urgent after being passed over
    `MAX_PASSED_OVER` times. A request for more than the limit is admitted when nothing else is
    held, so it runs alone.

    Attributes:
        whole: the limit as configured; no reservation is larger.
        limit: the limit now: less for a while after memory ran out.
        held: units reserved now.
    """

    def __init__(self, whole: int) -> None:
        self.whole = self.limit = whole
        self.held = 0
        self._grows_at = self._short_until = 0.0  # by `time.monotonic`
        self._waiting: list[_Waiter] = []
        self._order = itertools.count()
        self._passed = 0  # admissions in a row that left the oldest waiting
        self._lock = threading.Lock()

    @contextmanager
    def holding(self, amount: int, *, urgent: bool = False) -> Iterator[Reservation]:
        """Wait until `amount` units are free, and hold them while the block runs."""
        amount = min(max(amount, 0), self.whole)
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

    def ran_short(self) -> None:
        """Halve the limit for a while, because what it admitted had too little memory."""
        now = time.monotonic()
        with self._lock:
            self._grows_at = now + _GROW_EVERY
            if now >= self._short_until:
                self.limit = max(self.limit // 2, self.whole // _LEAST, 1)
                self._short_until = now + _SAME_SHORTAGE

    def _grow(self) -> None:
        """Give back what `ran_short` took, step by step."""
        now = time.monotonic()
        while self.limit < self.whole and now >= self._grows_at:
            self.limit = min(self.whole, self.limit + max(1, self.whole // _STEP))
            self._grows_at += _GROW_EVERY

    def _admit(self) -> None:
        """Admit waiters in order until the first one left does not fit."""
        self._grow()
        while self._waiting:
            oldest = min(self._waiting, key=attrgetter("order"))
            if self._passed >= MAX_PASSED_OVER and oldest.can_wait:
                oldest.can_wait = False
                heapq.heapify(self._waiting)
            if self.held and self.held + self._waiting[0].amount > self.limit:
                return
            waiter = heapq.heappop(self._waiting)
            self._passed = 0 if waiter is oldest else self._passed + 1
            self.held += waiter.amount
            waiter.admitted.set()
