"""InFlightLimit: bounds how much work is in flight at once."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Self

from worker.engine.device_queue import MAX_PASSED_OVER
from worker.engine.turns import Turn, Turns

#: After memory ran out, the limit is halved, never below a sixteenth. It grows back by an eighth of
#: the whole for each `_GROW_EVERY` seconds in which memory sufficed.
_LEAST, _STEP = 16, 8
_GROW_EVERY = 30.0
#: Seconds in which running out again is the same shortage: all that is in hand feels it at once.
_SAME_SHORTAGE = 5.0
#: Seconds for which a tenant counts as present after its last request.
_PRESENT = 600.0


@dataclass(eq=False, slots=True)
class Reservation:
    """`amount` units of a limit, held until released; a context manager that releases them."""

    amount: int
    tenant: str
    _limit: InFlightLimit

    def release(self) -> None:
        """Free the units; a second call changes nothing."""
        amount, self.amount = self.amount, 0
        self._limit.release(self.tenant, amount)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


@dataclass(order=True, slots=True)
class _Waiter:
    rank: int  # 0: passed over too often, 1: urgent, 2: can wait
    turn: Turn
    tenant: str = field(compare=False)
    amount: int = field(compare=False)
    then: Callable[[Reservation], None] = field(compare=False)


class InFlightLimit:
    """A number of units, reserved by urgent waiters first, between tenants by turn.

    A tenant's turns are as long as what it reserves, and within a tenant the first to come is
    first. While other tenants are present, a tenant that holds something gets no more than its
    share, so that their next request finds room at once. A smaller request never overtakes a larger
    one in front of it, since a large photo would otherwise wait for ever. The oldest waiter goes
    first after being passed over `MAX_PASSED_OVER` times. A request for more than the limit is
    admitted when nothing else is held, so it runs alone.

    Attributes:
        share: the part of the limit that is a tenant's share.
        whole: the limit as configured; no reservation is larger.
        limit: the limit now: less for a while after memory ran out.
        held: units reserved now.
    """

    def __init__(self, whole: int, *, share: float = 1.0) -> None:
        self.whole = self.limit = whole
        self.share = share
        self.held = 0
        self._held_by: Counter[str] = Counter()
        self._came: dict[str, float] = {}  # tenant -> `time.monotonic` of its last request
        self._grows_at = self._short_until = 0.0  # by `time.monotonic`
        self._waiting: list[_Waiter] = []
        self._turns = Turns()
        self._passed = 0  # admissions in a row that left the oldest waiting
        self._lock = threading.Lock()

    def ask(
        self,
        amount: int,
        then: Callable[[Reservation], None],
        *,
        tenant: str = "",
        urgent: bool = False,
    ) -> Reservation | None:
        """Reserve `amount` units now, or return None and call `then` once they are free.

        `then` runs in whichever thread frees them, and must not wait.
        """
        amount = min(max(amount, 0), self.whole)
        at_once: list[Reservation] = []
        with self._lock:
            self._came[tenant] = time.monotonic()
            turn = self._turns.take(tenant, amount / max(1, self.whole), urgent=urgent)
            waiter = _Waiter(1 if urgent else 2, turn, tenant, amount, at_once.append)
            self._waiting.append(waiter)
            admitted = self._admitted()
            if waiter not in admitted:
                waiter.then = then
        self._tell(admitted)
        return at_once[0] if at_once else None

    @contextmanager
    def holding(
        self, amount: int, *, tenant: str = "", urgent: bool = False
    ) -> Iterator[Reservation]:
        """Wait until `amount` units are free, and hold them while the block runs."""
        came = threading.Event()
        reserved: list[Reservation] = []

        def then(reservation: Reservation) -> None:
            reserved.append(reservation)
            came.set()

        reservation = self.ask(amount, then, tenant=tenant, urgent=urgent)
        if reservation is None:
            came.wait()
            (reservation,) = reserved
        with reservation:
            yield reservation

    def release(self, tenant: str, amount: int) -> None:
        """Free units; called by reservations."""
        with self._lock:
            self._hold(tenant, -amount)
            admitted = self._admitted()
        self._tell(admitted)

    def _hold(self, tenant: str, amount: int) -> None:
        self.held += amount
        self._held_by[tenant] += amount
        if not self._held_by[tenant]:
            del self._held_by[tenant]

    def _tell(self, admitted: list[_Waiter]) -> None:
        for waiter in admitted:
            waiter.then(Reservation(waiter.amount, waiter.tenant, self))

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

    def _admitted(self) -> list[_Waiter]:
        """Reserve for waiters in order, until the first one left does not fit."""
        self._grow()
        admitted: list[_Waiter] = []
        while self._waiting:
            oldest = min(self._waiting, key=lambda waiter: waiter.turn.arrival)
            if self._passed >= MAX_PASSED_OVER:
                oldest.rank = 0
            first = self._first()
            if first is None or (self.held and self.held + first.amount > self.limit):
                break
            self._waiting.remove(first)
            self._turns.serve(first.turn)
            self._passed = 0 if first is oldest else self._passed + 1
            self._hold(first.tenant, first.amount)
            admitted.append(first)
        return admitted

    def _first(self) -> _Waiter | None:
        """The first waiter whose tenant has not reached its share."""
        waiting = self._waiting
        while waiting:
            first = min(waiting)
            if self._in_share(first):
                return first
            waiting = [waiter for waiter in waiting if waiter.tenant != first.tenant]
        return None

    def _in_share(self, waiter: _Waiter) -> bool:
        has = self._held_by[waiter.tenant]
        if not has or has + waiter.amount <= self.limit * self.share:
            return True
        since = time.monotonic() - _PRESENT
        self._came = {tenant: at for tenant, at in self._came.items() if at > since}
        return self._came.keys() <= {waiter.tenant}
