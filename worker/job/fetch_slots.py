"""FetchSlots: bounds the downloads of photos at once, in all, per tenant and per host."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from worker.engine.turns import Turn, Turns


@dataclass(eq=False, slots=True)
class FetchSlot:
    """The right to one download, until closed."""

    _slots: FetchSlots
    _kinds: frozenset[str]
    _held: bool = True

    def close(self) -> None:
        """Give the slot back; a second call changes nothing."""
        held, self._held = self._held, False
        if held:
            self._slots.release(self._kinds)


@dataclass(slots=True)
class _Waiter:
    can_wait: bool
    turn: Turn
    kinds: frozenset[str]
    then: Callable[[FetchSlot], None]


class FetchSlots:
    """A number of slots: urgent downloads first, tenants by turn, then in order of arrival.

    A host that drips keeps its own downloads waiting and, at most, its tenant's: a host has half of
    the slots, a tenant three quarters, and so have all downloads that are not urgent. A download
    that one of these bounds holds back lets others pass.
    """

    def __init__(self, total: int) -> None:
        self._total = max(1, total)
        self._held: Counter[str] = Counter()
        self._waiting: list[_Waiter] = []
        self._turns = Turns()
        self._lock = threading.Lock()

    def ask(
        self, then: Callable[[FetchSlot], None], *, tenant: str, host: str, urgent: bool
    ) -> FetchSlot | None:
        """Take a slot now, or return None and call `then` with it later.

        `then` runs in whichever thread gives a slot back, and must not wait.
        """
        kinds = {"all", f"tenant {tenant}"}
        kinds |= {f"host {host}"} if host else set()
        kinds |= set() if urgent else {"not urgent"}
        with self._lock:
            turn = self._turns.take(tenant, urgent=urgent)
            waiter = _Waiter(not urgent, turn, frozenset(kinds), then)
            # Whoever waits is held back by a bound that this one may not meet.
            if self._fits(waiter):
                return self._take(waiter)
            self._waiting.append(waiter)
            return None

    def release(self, kinds: frozenset[str]) -> None:
        """Free a slot; called by slots."""
        begun: list[tuple[_Waiter, FetchSlot]] = []
        with self._lock:
            self._held.subtract(kinds)
            self._held += Counter()  # drops what is zero
            for waiter in sorted(self._waiting, key=lambda one: (one.can_wait, one.turn)):
                if self._held["all"] >= self._total:
                    break
                if self._fits(waiter):
                    self._waiting.remove(waiter)
                    begun.append((waiter, self._take(waiter)))
        for waiter, slot in begun:
            waiter.then(slot)

    def _take(self, waiter: _Waiter) -> FetchSlot:
        self._held.update(waiter.kinds)
        self._turns.serve(waiter.turn)
        return FetchSlot(self, waiter.kinds)

    def _fits(self, waiter: _Waiter) -> bool:
        return all(self._held[kind] < self._limit(kind) for kind in waiter.kinds)

    def _limit(self, kind: str) -> int:
        if kind == "all":
            return self._total
        if kind.startswith("host "):
            return max(1, self._total // 2)
        return max(1, self._total * 3 // 4)
