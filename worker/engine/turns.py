"""Turns: an order of waiters in which tenants alternate."""

from __future__ import annotations

import itertools
from typing import NamedTuple

#: Tenants remembered at most. Those whose turns ended first are forgotten first.
_REMEMBERED = 1_000


class Turn(NamedTuple):
    """A place in the order of the urgent, or of the others: the smaller goes first.

    `arrival` counts all turns ever taken.
    """

    start: float
    arrival: int
    urgent: bool


class Turns:
    """Gives each waiter a turn; a tenant with many waiters is one among the tenants.

    Urgent waiters and the others have turns of their own, so that a tenant's catalog does not delay
    its clicks.

    Start-time fair queueing (Goyal, Vin and Cheng, 1996): a tenant's turn starts where its previous
    one ends, but not before the turn last served. For one tenant alone this is the order of
    arrival. Not thread-safe: its owner holds a lock.
    """

    def __init__(self) -> None:
        self._served = {True: 0.0, False: 0.0}  # by urgency: the start of the last turn served
        self._ends: dict[tuple[bool, str], float] = {}
        self._arrivals = itertools.count()

    def take(self, tenant: str, cost: float = 1.0, *, urgent: bool) -> Turn:
        """The tenant's next turn. `cost` is its size beside others' turns."""
        start = max(self._served[urgent], self._ends.get((urgent, tenant), 0.0))
        self._ends[urgent, tenant] = start + cost
        return Turn(start, next(self._arrivals), urgent)

    def serve(self, turn: Turn) -> None:
        """Note that this turn has come."""
        self._served[turn.urgent] = max(self._served[turn.urgent], turn.start)
        if len(self._ends) > _REMEMBERED:
            latest = sorted(self._ends.items(), key=lambda item: item[1])[-_REMEMBERED // 2 :]
            self._ends = dict(latest)
