from __future__ import annotations

import threading

from shared.job import Lane
from shared.queue import notifier as bellhop
from shared.queue.notifier import Notifier
from shared.testing import SilentDoorbell


class SlowBell(SilentDoorbell):
    """Rings once it is let, and breaks for a job of that name."""

    def __init__(self) -> None:
        super().__init__()
        self.let = threading.Event()

    def ring(self, job_id: str, lane: Lane) -> bool:
        self.let.wait(5)
        if job_id == "breaks":
            raise RuntimeError("a broken bell")
        return super().ring(job_id, lane)


def test_nobody_waits_for_the_bell_and_rings_keep_their_order() -> None:
    bell = SlowBell()
    hop = Notifier(bell)
    assert all(hop.ring(f"job_{number}", Lane.BULK) for number in range(5))
    assert bell.rung == []
    bell.let.set()
    hop.close()
    assert bell.rung == [(f"job_{number}", Lane.BULK) for number in range(5)]


def test_a_bell_that_breaks_rings_for_the_next() -> None:
    bell = SlowBell()
    bell.let.set()
    hop = Notifier(bell)
    for job_id in ("breaks", "job_1"):
        hop.ring(job_id, Lane.INTERACTIVE)
    hop.close()
    assert bell.rung == [("job_1", Lane.INTERACTIVE)]


def test_too_many_rings_are_dropped_not_waited_for() -> None:
    bell = SlowBell()
    hop = Notifier(bell)
    hop.ring("job_0", Lane.BULK)
    taken = [hop.ring("job_1", Lane.BULK) for _ in range(bellhop._WAITING + 1)]
    assert taken.count(False) >= 1
    assert taken[0]
    hop.close(patience=0.05)  # gives up: the queue is full
    bell.let.set()
