"""What waits for the device, in the order in which it is served."""

from __future__ import annotations

import heapq
import itertools
import threading
from enum import StrEnum

from shared.errors import LeaseLost
from worker.engine.calls import Call

#: How many batches in a row may leave the oldest call waiting before it leads the next one. So the
#: urgent, be they ever so many, leave a share of the device to the others; and they do not feel it,
#: for where they leave it idle now and then, or do not fill their batches, it never comes to that.
PATIENCE = 16


class Step(StrEnum):
    """The device's two kinds of work; a batch is of one kind."""

    ENCODE = "encode"
    DECODE = "decode"


class Backlog:
    """Calls by step: in each the urgent first, then the older. Callers add, the device takes.

    Whoever is passed over too often becomes urgent, so that nobody waits for ever.
    """

    def __init__(self) -> None:
        self._waiting: dict[Step, list[tuple[bool, int, Call]]] = {step: [] for step in Step}
        self._turns = itertools.count()
        self._passed = 0  # batches in a row that left the oldest call waiting
        self._changed = threading.Condition()

    def add(self, step: Step, *calls: Call) -> None:
        """Queue calls for a step."""
        with self._changed:
            for call in calls:
                if call.turn is None:
                    call.turn = next(self._turns)
                heapq.heappush(self._waiting[step], (not call.urgent, call.turn, call))
            self._changed.notify()

    def take(self, limit: int) -> tuple[Step, list[Call]]:
        """Up to `limit` calls of one step, at least one; blocks while there are none.

        Whoever has departed is told so here, and costs the device nothing.
        """
        with self._changed:
            while True:
                self._changed.wait_for(self._any)
                oldest = self._oldest()
                step = self._next_step() if self._passed < PATIENCE else self._promote(oldest)
                batch: list[Call] = []
                while self._waiting[step] and len(batch) < limit:
                    call = heapq.heappop(self._waiting[step])[-1]
                    if call.departed():
                        call.future.set_exception(LeaseLost())
                    else:
                        batch.append(call)
                left = self._any() and self._oldest() is oldest
                self._passed = self._passed + 1 if left else 0
                if batch:
                    return step, batch

    def __len__(self) -> int:
        with self._changed:
            return sum(map(len, self._waiting.values()))

    def _any(self) -> bool:
        return any(self._waiting.values())

    def _next_step(self) -> Step:
        """The step with the most urgent call; of two alike decoding, which ends a call."""
        encode, decode = self._waiting[Step.ENCODE], self._waiting[Step.DECODE]
        if not decode:
            return Step.ENCODE
        if not encode:
            return Step.DECODE
        return Step.ENCODE if encode[0][0] < decode[0][0] else Step.DECODE

    def _oldest(self) -> Call:
        """Who came first of all that wait, urgent or not, for either step."""
        entries = itertools.chain.from_iterable(self._waiting.values())
        return min(entries, key=lambda entry: entry[1])[-1]

    def _promote(self, oldest: Call) -> Step:
        """Put the oldest call before all others, from here to its answer; the step it waits for."""
        oldest.urgent = True
        for step, waiting in self._waiting.items():
            for place, (_, turn, call) in enumerate(waiting):
                if call is oldest:
                    waiting[place] = (False, turn, call)
                    heapq.heapify(waiting)
                    return step
        raise LookupError("the oldest call waits for no step. This is a bug")
