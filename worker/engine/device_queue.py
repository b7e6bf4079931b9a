"""The queue of calls that wait for the device, and the order in which they are served."""

from __future__ import annotations

import heapq
import itertools
import threading
from enum import StrEnum

from shared.errors import LeaseLost
from worker.engine.calls import Call

#: How often in a row the oldest call may be passed over; it then goes first, so that nothing
#: starves. Under steady urgent load the other calls lead one batch in 17. Urgent calls that leave
#: the device idle now and then, or do not fill their batches, never reach the limit.
MAX_PASSED_OVER = 16


class Step(StrEnum):
    """The two kinds of work on the device; all calls of a batch are at the same step."""

    ENCODE = "encode"
    DECODE = "decode"


class DeviceQueue:
    """Calls waiting for each step, urgent ones first, then in order of arrival.

    Any thread adds calls; the device's thread takes them. After being passed over
    `MAX_PASSED_OVER` times in a row the oldest call becomes urgent.
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
        """Take one to `limit` calls of one step; block while the queue is empty.

        Calls whose caller has departed are dropped here with `LeaseLost`, at no cost to the device.
        """
        with self._changed:
            while True:
                self._changed.wait_for(self._any)
                oldest = self._oldest()
                promoted = self._passed >= MAX_PASSED_OVER
                step = self._promote(oldest) if promoted else self._next_step()
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
        """The step with the most urgent call; on a tie decoding, because it completes a call."""
        encode, decode = self._waiting[Step.ENCODE], self._waiting[Step.DECODE]
        if not decode:
            return Step.ENCODE
        if not encode:
            return Step.DECODE
        return Step.ENCODE if encode[0][0] < decode[0][0] else Step.DECODE

    def _oldest(self) -> Call:
        """The call that arrived first of all that wait, at either step and of any urgency."""
        entries = itertools.chain.from_iterable(self._waiting.values())
        return min(entries, key=lambda entry: entry[1])[-1]

    def _promote(self, oldest: Call) -> Step:
        """Make the oldest call urgent until it is answered; return the step it waits for."""
        oldest.urgent = True
        for step, waiting in self._waiting.items():
            for place, (_, turn, call) in enumerate(waiting):
                if call is oldest:
                    waiting[place] = (False, turn, call)
                    heapq.heapify(waiting)
                    return step
        raise LookupError("the oldest call waits for no step. This is a bug")
