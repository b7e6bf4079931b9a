"""The bulk limit, and the order in which the lanes are read."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import pytest

from shared.job import Lane
from shared.queue.doorbell import QUEUES, LaneCycle
from worker.job.bulk_limit import BulkLimit

BULK, URGENT = ({"routing_key": QUEUES[lane]} for lane in (Lane.BULK, Lane.INTERACTIVE))


def take(limit: BulkLimit, message: dict[str, str], times: int) -> None:
    for _ in range(times):
        limit.received(SimpleNamespace(delivery_info=message))


@pytest.mark.parametrize(("threads", "bulk"), [(1, 1), (2, 1), (4, 3), (8, 6), (32, 24), (64, 48)])
def test_a_quarter_of_the_threads_takes_no_bulk_jobs(threads: int, bulk: int) -> None:
    limit = BulkLimit(threads)
    take(limit, BULK, bulk - 1)
    assert limit.is_open()
    take(limit, BULK, 1)
    assert not limit.is_open()


def test_bulk_is_allowed_again_when_a_bulk_job_ends() -> None:
    limit = BulkLimit(4)
    take(limit, BULK, 3)
    limit.done(BULK)
    assert limit.is_open()


def test_other_lanes_do_not_count() -> None:
    limit = BulkLimit(4)
    take(limit, URGENT, 10)
    assert limit.is_open()
    take(limit, BULK, 3)
    limit.done(URGENT)
    assert not limit.is_open()


def test_at_the_limit_only_the_bulk_lane_is_skipped() -> None:
    limit = BulkLimit(1)
    cycle = partial(LaneCycle, limit.is_open)()
    cycle.update(QUEUES.values())
    assert set(cycle.consume(4)) == set(QUEUES.values())
    take(limit, BULK, 1)
    assert set(cycle.consume(4)) == set(QUEUES.values()) - {QUEUES[Lane.BULK]}
    limit.done(BULK)
    assert set(cycle.consume(4)) == set(QUEUES.values())
