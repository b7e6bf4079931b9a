"""InFlightLimit: how much may be in hand at once, the urgent first."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from operator import attrgetter

from worker.engine.backlog import PATIENCE


@dataclass(eq=False, slots=True)
class Reservation:
    """Leave to hold `amount`, until the block that asked for it ends."""

    amount: int
    _permits: InFlightLimit

    def shrink(self, amount: int) -> None:
        """Give back what was reserved beyond `amount`; a permit never grows."""
        spare = max(0, self.amount - amount)
        self.amount -= spare
        self._permits.give_back(spare)


@dataclass(order=True, slots=True)
class _Waiter:
    patience: bool
    order: int
    amount: int = field(compare=False)
    admitted: threading.Event = field(compare=False, default_factory=threading.Event)


class InFlightLimit:
    """So many units in all, handed out in order: the urgent first, then the older.

    Nobody is overtaken by one that asks for less and comes later: a large photo would wait for
    ever; and whoever the urgent have passed over too often becomes one of them. One that asks for
    more than there is gets all there is, and is alone.
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
        """Wait for leave to hold `amount` units, and hold them while the block runs."""
        amount = min(max(amount, 0), self.limit)
        self._wait(_Waiter(not urgent, next(self._order), amount))
        permit = Reservation(amount, self)
        try:
            yield permit
        finally:
            self.give_back(permit.amount)

    def _wait(self, waiter: _Waiter) -> None:
        with self._lock:
            heapq.heappush(self._waiting, waiter)
            self._admit()
        waiter.admitted.wait()

    def give_back(self, amount: int) -> None:
        """That many units are free again; permits say so themselves."""
        with self._lock:
            self.held -= amount
            self._admit()

    def _admit(self) -> None:
        """Let in those in front, for as long as the first of them fits."""
        while self._waiting:
            oldest = min(self._waiting, key=attrgetter("order"))
            if self._passed >= PATIENCE and oldest.patience:
                oldest.patience = False
                heapq.heapify(self._waiting)
            if self.held + self._waiting[0].amount > self.limit:
                return
            waiter = heapq.heappop(self._waiting)
            self._passed = 0 if waiter is oldest else self._passed + 1
            self.held += waiter.amount
            waiter.admitted.set()
