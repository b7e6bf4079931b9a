"""A job's way in: what waits keeps no thread, loses nothing, and continues by itself."""

from __future__ import annotations

import hashlib
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from shared.job import Lane, Status
from shared.queue.connection import Connection
from shared.storage import keys
from shared.testing import MemoryStorage
from tests.unit.test_in_flight import until
from tests.unit.test_metrics import working
from tests.unit.test_queue import House
from worker.job import outcome, pipeline
from worker.job.bulk_limit import BulkLimit
from worker.job.fetch_slots import FetchSlots
from worker.job.threads import JobThreads
from worker.job.waiting_room import Line, WaitingRoom
from worker.runtime import Runtime


@pytest.fixture
def house(connection: Connection) -> House:
    return House(connection)


@pytest.fixture
def storage() -> MemoryStorage:
    return MemoryStorage()


@pytest.fixture
def runtime(connection: Connection, storage: MemoryStorage) -> Runtime:
    return working(connection, storage)


def accept(house: House, storage: MemoryStorage, sample: bytes, *, pixels: int | None) -> str:
    job_id = house.accept()
    input_id = house.jobs.get(job_id).input_id
    storage.put(keys.input_key("shop", input_id), sample, "")
    known = {"digest": hashlib.sha256(sample).hexdigest(), "bytes": len(sample)}
    house.redis.hset(f"nukki:input:{input_id}", mapping=known)
    if pixels is not None:
        house.redis.hset(f"nukki:input:{input_id}", "pixels", pixels)
    return job_id


def test_a_job_without_room_stays_queued_and_continues_when_there_is(
    house: House, storage: MemoryStorage, runtime: Runtime, sample: bytes
) -> None:
    job_id = accept(house, storage, sample, pixels=240_000)
    with runtime.pixels_in_flight.holding(runtime.pixels_in_flight.whole):
        for _ in range(3):  # the janitor rings again
            pipeline.process(runtime, job_id)
        assert house.status(job_id) is Status.QUEUED
        assert len(runtime.waiting) == 1
    until(lambda: house.status(job_id) is Status.SUCCEEDED)
    assert house.jobs.get(job_id).claims == 1
    assert len(runtime.waiting) == 0


def test_a_job_that_another_worker_took_meanwhile_lets_the_next_in(
    house: House, storage: MemoryStorage, runtime: Runtime, sample: bytes
) -> None:
    first, second = (accept(house, storage, sample, pixels=240_000) for _ in range(2))
    with runtime.pixels_in_flight.holding(runtime.pixels_in_flight.whole):
        pipeline.process(runtime, first)
        pipeline.process(runtime, second)
        house.claim(first, house.worker("other"))
    until(lambda: house.status(second) is Status.SUCCEEDED)
    assert house.status(first) is Status.PROCESSING
    until(lambda: runtime.pixels_in_flight.held == 0)


def test_a_photo_of_unknown_size_is_read_and_measured_before_it_takes_room(
    house: House, storage: MemoryStorage, runtime: Runtime, sample: bytes
) -> None:
    job_id = accept(house, storage, sample, pixels=None)
    whole = runtime.pixels_in_flight.whole
    with runtime.pixels_in_flight.holding(whole - 240_000):
        pipeline.process(runtime, job_id)  # there is just enough
    assert house.status(job_id) is Status.SUCCEEDED


def test_a_stopping_worker_hands_back_what_it_claimed_and_has_no_room_for(
    house: House, storage: MemoryStorage, runtime: Runtime, sample: bytes
) -> None:
    job_id = accept(house, storage, sample, pixels=None)
    with runtime.pixels_in_flight.holding(runtime.pixels_in_flight.whole):
        pipeline.process(runtime, job_id)
        assert house.status(job_id) is Status.PROCESSING
        runtime.draining.set()
    until(lambda: house.status(job_id) is Status.QUEUED)
    assert house.jobs.get(job_id).attempts == 0
    until(lambda: not runtime.heartbeat.held())


def test_at_the_end_it_is_handed_back_even_if_its_turn_never_came(
    house: House, storage: MemoryStorage, runtime: Runtime, sample: bytes
) -> None:
    job_id = accept(house, storage, sample, pixels=None)
    with runtime.pixels_in_flight.holding(runtime.pixels_in_flight.whole):
        pipeline.process(runtime, job_id)
        outcome.hand_back(runtime)
        assert house.status(job_id) is Status.QUEUED
        assert house.jobs.get(job_id).attempts == 0
        runtime.draining.set()
    until(lambda: not runtime.heartbeat.held())


def test_a_full_line_leaves_the_others_open() -> None:
    room, line = WaitingRoom(places=2), Line("alpha", urgent=True, host="slow.test")
    assert [room.enter(name, line) for name in ("a", "a", "b", "c")] == [True, False, True, False]
    others = [
        line._replace(**other)
        for other in ({"tenant": "beta"}, {"urgent": False}, {"host": "fast.test"}, {"host": ""})
    ]
    assert all(room.enter(str(other), other) for other in others)
    room.leave("a")
    room.leave("a")
    assert room.enter("c", line)
    assert not room.enter("d", line)


def test_slots_go_to_tenants_by_turn_and_to_urgent_ones_first() -> None:
    slots = FetchSlots(1)
    order: list[str] = []
    held = slots.ask(lambda _: None, tenant="alpha", host="h", urgent=True)
    assert held is not None

    def ask(name: str, tenant: str, *, urgent: bool = True) -> None:
        def then(slot: Any) -> None:
            order.append(name)
            slot.close()

        assert slots.ask(then, tenant=tenant, host="h", urgent=urgent) is None

    ask("bulk", "gamma", urgent=False)
    for name in ("a1", "a2", "a3"):
        ask(name, "alpha")
    ask("b1", "beta")
    held.close()
    held.close()
    assert sorted(order[:2]) == ["a1", "b1"]
    assert order[2:] == ["a2", "a3", "bulk"]


def test_a_bulk_job_that_waited_is_counted_and_waits_for_the_bulk_limit() -> None:
    bulk = BulkLimit(2)  # one bulk job at a time
    threads, ends = JobThreads(bulk), threading.Event()
    ran: list[str] = []
    bulk.received(SimpleNamespace(delivery_info={"routing_key": "nukki.bulk"}))

    def first() -> None:
        ran.append("first")
        ends.wait(5)

    threads.resume(Lane.BULK, first)
    threads.resume(Lane.BULK, lambda: ran.append("second"))
    threads.resume(Lane.INTERACTIVE, lambda: ran.append("urgent"))
    until(lambda: ran == ["urgent"])
    bulk.done({"routing_key": "nukki.bulk"})
    until(lambda: ran == ["urgent", "first"])
    assert not bulk.is_open()
    ends.set()
    until(lambda: ran == ["urgent", "first", "second"])
    until(bulk.is_open)


def test_what_waited_runs_on_the_pool_until_that_stops() -> None:
    class Pool:
        def __init__(self) -> None:
            self.stopped = False

        def apply_async(self, target: Any, *, callback: Any) -> None:
            if self.stopped:
                raise RuntimeError("cannot schedule new futures after shutdown")
            callback(target())

    def fail() -> None:
        raise ZeroDivisionError

    threads, pool = JobThreads(BulkLimit(4)), Pool()
    ran: list[int] = []
    threads.attach(pool)
    threads.resume(Lane.INTERACTIVE, lambda: ran.append(1))
    threads.resume(Lane.INTERACTIVE, fail)
    pool.stopped = True
    threads.resume(Lane.INTERACTIVE, lambda: ran.append(2))
    assert ran == [1]
