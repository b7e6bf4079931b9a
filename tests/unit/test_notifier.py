from __future__ import annotations

import threading

from shared.job import Lane
from shared.queue import notifier as notifier_module
from shared.queue.notifier import Notifier
from shared.testing import SilentDoorbell


class SlowBell(SilentDoorbell):
    """A doorbell that rings after `let` is set, and raises for the job `breaks`."""

    def __init__(self) -> None:
        super().__init__()
        self.let = threading.Event()

    def ring(self, job_id: str, lane: Lane) -> bool:
        self.let.wait(5)
        if job_id == "breaks":
            raise RuntimeError("a broken bell")
        return super().ring(job_id, lane)


def test_ringing_does_not_block_and_keeps_its_order() -> None:
    bell = SlowBell()
    notifier = Notifier(bell)
    assert all(notifier.ring(f"job_{number}", Lane.BULK) for number in range(5))
    assert bell.rung == []
    bell.let.set()
    notifier.close()
    assert bell.rung == [(f"job_{number}", Lane.BULK) for number in range(5)]


def test_an_error_while_ringing_does_not_stop_the_next_ring() -> None:
    bell = SlowBell()
    bell.let.set()
    notifier = Notifier(bell)
    for job_id in ("breaks", "job_1"):
        notifier.ring(job_id, Lane.INTERACTIVE)
    notifier.close()
    assert bell.rung == [("job_1", Lane.INTERACTIVE)]


def test_excess_rings_are_dropped_without_waiting() -> None:
    bell = SlowBell()
    notifier = Notifier(bell)
    notifier.ring("job_0", Lane.BULK)
    taken = [notifier.ring("job_1", Lane.BULK) for _ in range(notifier_module._WAITING + 1)]
    assert taken.count(False) >= 1
    assert taken[0]
    notifier.close(patience=0.05)  # gives up: the queue is full
    bell.let.set()
