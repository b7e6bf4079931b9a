"""The queue of calls that wait for the device, and the order in which they are served."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable
from enum import StrEnum

from shared.errors import LeaseLost
from worker.engine.calls import Call
from worker.engine.turns import Turn, Turns

#: How often in a row the oldest call may be passed over; it then goes first, so that nothing
#: starves. Under steady urgent load the other calls lead one batch in 17. Urgent calls that leave
#: the device idle now and then, or do not fill their batches, never reach the limit.
MAX_PASSED_OVER = 16
#: The weight of the latest batch in the average of how long a step takes.
_LATEST = 0.25

_Place = tuple[int, Turn]


class Step(StrEnum):
    """The two kinds of work on the device; all calls of a batch are at the same step."""

    ENCODE = "encode"
    DECODE = "decode"


class DeviceQueue:
    """Calls waiting for each step: urgent ones first, tenants by turn, then in order of arrival.

    Decoding is cheap beside encoding, so it has a head start: a click on a kept embedding passes
    photos that are to be encoded, for as long as none of them is held up by more than one encoding
    in all. After that the photo goes first, however many clicks wait. So a click waits for photos
    in front of it only after other clicks have used up the head start.

    Any thread adds calls; the device's thread takes them. After being passed over
    `MAX_PASSED_OVER` times in a row the oldest call goes first.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._waiting: dict[Step, list[tuple[_Place, Call]]] = {step: [] for step in Step}
        self._turns = Turns()
        self._passed = 0  # batches in a row that left the oldest call waiting
        self._changed = threading.Condition()
        self._seconds = dict.fromkeys(Step, 0.0)  # that a batch takes, on average
        self._running: tuple[Step, float] | None = None  # the batch on the device, and its start
        self._held_up: list[Call] = []  # those that the batch on the device has passed

    def add(self, step: Step, *calls: Call) -> None:
        """Queue calls for a step."""
        with self._changed:
            for call in calls:
                if call.turn is None:
                    call.turn = self._turns.take(call.tenant, urgent=call.urgent)
                heapq.heappush(self._waiting[step], (_place(call), call))
            self._changed.notify()

    def take(self, limit: int) -> tuple[Step, list[Call]]:
        """Take one to `limit` calls of one step; block while the queue is empty.

        Whoever takes a batch has done the one before. Calls whose caller has departed are dropped
        here with `LeaseLost`, at no cost to the device.
        """
        with self._changed:
            self._finished()
            while True:
                self._changed.wait_for(self._any)
                oldest = self._oldest()
                promoted = self._passed >= MAX_PASSED_OVER
                step = self._promote(oldest) if promoted else self._next_step()
                batch: list[Call] = []
                while self._waiting[step] and len(batch) < limit:
                    _, call = heapq.heappop(self._waiting[step])
                    if call.departed():
                        call.future.set_exception(LeaseLost())
                    else:
                        batch.append(call)
                left = self._any() and self._oldest() is oldest
                self._passed = self._passed + 1 if left else 0
                if batch:
                    self._begun(step, batch)
                    return step, batch

    def __len__(self) -> int:
        with self._changed:
            return sum(map(len, self._waiting.values()))

    def _any(self) -> bool:
        return any(self._waiting.values())

    def _next_step(self) -> Step:
        """The step of the first call; a cheaper one behind it may have a head start."""
        encode, decode = self._waiting[Step.ENCODE], self._waiting[Step.DECODE]
        if not encode or not decode:
            return Step.ENCODE if encode else Step.DECODE
        (photo, call), (click, _) = encode[0], decode[0]
        if click < photo:
            return Step.DECODE
        if photo[0] < click[0]:
            return Step.ENCODE
        spent = call.held_up + self._seconds[Step.DECODE]
        return Step.DECODE if spent <= self._seconds[Step.ENCODE] else Step.ENCODE

    def _begun(self, step: Step, batch: list[Call]) -> None:
        for call in batch:
            if call.turn is not None:
                self._turns.serve(call.turn)
        first = _place(batch[0])
        self._running = step, self._clock()
        self._held_up = [call for place, call in self._waiting[Step.ENCODE] if place < first]

    def _finished(self) -> None:
        """Note how long the batch took that was on the device."""
        if self._running is None:
            return
        step, begun = self._running
        spent = self._clock() - begun
        weight = _LATEST if self._seconds[step] else 1.0
        self._seconds[step] += weight * (spent - self._seconds[step])
        for call in self._held_up:
            call.held_up += spent
        self._running, self._held_up = None, []

    def _oldest(self) -> Call:
        """The call that arrived first of all that wait, at either step and of any urgency."""
        entries = itertools.chain.from_iterable(self._waiting.values())
        return min(entries, key=lambda entry: entry[0][1].arrival)[-1]

    def _promote(self, oldest: Call) -> Step:
        """Let the oldest call go first until it is answered; return the step it waits for."""
        oldest.promoted = True
        for step, waiting in self._waiting.items():
            for index, (_, call) in enumerate(waiting):
                if call is oldest:
                    waiting[index] = (_place(call), call)
                    heapq.heapify(waiting)
                    return step
        raise LookupError("the oldest call waits for no step. This is a bug")


def _place(call: Call) -> _Place:
    """A call's place in the order of its step: promoted, urgent, other; then by turn."""
    if call.turn is None:
        raise LookupError("the call has no turn. This is a bug")
    return (0 if call.promoted else 1 if call.urgent else 2), call.turn
