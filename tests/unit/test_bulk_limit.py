"""The gate before the bulk lane, and the order in which lanes are looked at."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import pytest

from shared.job import Lane
from shared.queue.doorbell import QUEUES, LaneCycle
from worker.job.bulk_limit import BulkLimit

BULK, URGENT = ({"routing_key": QUEUES[lane]} for lane in (Lane.BULK, Lane.INTERACTIVE))


def take(gate: BulkLimit, message: dict[str, str], times: int) -> None:
    for _ in range(times):
        gate.received(SimpleNamespace(delivery_info=message))


@pytest.mark.parametrize(("threads", "bulk"), [(1, 1), (2, 1), (4, 3), (8, 6), (32, 24), (64, 48)])
def test_a_fourth_of_the_threads_is_kept_from_bulk(threads: int, bulk: int) -> None:
    gate = BulkLimit(threads)
    take(gate, BULK, bulk - 1)
    assert gate.is_open()
    take(gate, BULK, 1)
    assert not gate.is_open()


def test_the_gate_opens_again_when_a_bulk_job_ends() -> None:
    gate = BulkLimit(4)
    take(gate, BULK, 3)
    gate.done(BULK)
    assert gate.is_open()


def test_other_lanes_do_not_count() -> None:
    gate = BulkLimit(4)
    take(gate, URGENT, 10)
    assert gate.is_open()
    take(gate, BULK, 3)
    gate.done(URGENT)
    assert not gate.is_open()


def test_a_closed_gate_leaves_only_bulk_alone() -> None:
    gate = BulkLimit(1)
    cycle = partial(LaneCycle, gate.is_open)()
    cycle.update(QUEUES.values())
    assert set(cycle.consume(4)) == set(QUEUES.values())
    take(gate, BULK, 1)
    assert set(cycle.consume(4)) == set(QUEUES.values()) - {QUEUES[Lane.BULK]}
    gate.done(BULK)
    assert set(cycle.consume(4)) == set(QUEUES.values())
