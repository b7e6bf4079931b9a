"""Turns: an order of waiters in which tenants alternate."""

from __future__ import annotations

import itertools
from typing import NamedTuple

#: Tenants remembered at most, beyond those whose turns are still to come.
_REMEMBERED = 1_000


class Turn(NamedTuple):
    """A place in the order: the smaller goes first. `arrival` counts all turns ever taken."""

    start: float
    arrival: int


class Turns:
    """Gives each waiter a turn; a tenant with many waiters is one among the tenants.

    Start-time fair queueing (Goyal, Vin and Cheng, 1996): a tenant's turn starts where its previous
    one ends, but not before the turn last served. For one tenant alone this is the order of
    arrival. Not thread-safe: its owner holds a lock.
    """

    def __init__(self) -> None:
        self._served = 0.0
        self._ends: dict[str, float] = {}
        self._arrivals = itertools.count()

    def take(self, tenant: str, cost: float = 1.0) -> Turn:
        """The tenant's next turn. `cost` is its size beside others' turns."""
        start = max(self._served, self._ends.get(tenant, 0.0))
        self._ends[tenant] = start + cost
        return Turn(start, next(self._arrivals))

    def serve(self, turn: Turn) -> None:
        """Note that this turn has come."""
        self._served = max(self._served, turn.start)
        if len(self._ends) > _REMEMBERED:
            self._ends = {name: end for name, end in self._ends.items() if end > self._served}
