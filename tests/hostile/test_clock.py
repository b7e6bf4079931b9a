"""Redis's clock jumps: back, and nothing is stuck; forward, and nothing is lost needlessly."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from shared.job import Failure, Lane, Outcome, Status
from shared.queue import keys as redis_keys
from shared.queue.clock import ClockWatch
from shared.queue.connection import Connection
from shared.queue.deliveries import DeliveryState, NextStep
from shared.queue.workers import ALIVE_MS, WorkerInfo, WorkerRoll
from shared.testing import SilentDoorbell
from tests.clock import shift
from tests.unit.test_queue import DONE, House
from worker.courier.janitor import Janitor

HOUR = 3600
LEASE_MS = 30_000
HOOK = {"url": "https://example.com/hook"}
Jump = Callable[[int], None]


@pytest.fixture
def house(each_connection: Connection) -> House:
    return House(each_connection)


@pytest.fixture
def jump(house: House, monkeypatch: pytest.MonkeyPatch) -> Jump:
    """Set how far ahead Redis's clock is, in seconds."""
    return lambda seconds: shift(house.connection, monkeypatch, seconds)


class TestBack:
    @pytest.fixture(autouse=True)
    def _ahead(self, jump: Jump) -> None:
        jump(HOUR)

    def test_a_dead_workers_job_waits_no_longer_than_a_lease(
        self, house: House, jump: Jump
    ) -> None:
        claim = house.claim(house.accept())
        jump(0)
        house.upkeep.overdue()
        due = house.due(claim.job.id)
        assert due is not None
        assert due - house.now() <= LEASE_MS
        house.make_due(claim.job.id)
        house.upkeep.overdue()
        assert house.status(claim.job.id) is Status.QUEUED

    def test_a_live_workers_lease_goes_on(self, house: House, jump: Jump) -> None:
        claim = house.claim(house.accept())
        jump(0)
        house.upkeep.overdue()
        assert house.leases.renew([claim]) == frozenset()
        assert house.leases.finish(claim, Status.SUCCEEDED, DONE)

    def test_a_delay_ends_in_time(self, house: House, jump: Jump) -> None:
        job_id = house.accept()
        house.leases.release(house.claim(job_id), delay_ms=30_000)
        assert house.leases.weigh(job_id) is None
        jump(0)
        assert (job_id, Lane.INTERACTIVE) in house.upkeep.overdue().rings
        assert house.leases.weigh(job_id) is not None
        house.claim(job_id)

    def test_a_lost_doorbell_is_rung_again(self, house: House, jump: Jump) -> None:
        job_id = house.accept()
        jump(0)
        assert (job_id, Lane.INTERACTIVE) in house.upkeep.overdue().rings

    def test_a_deep_lane_is_looked_at_again(self, house: House, jump: Jump) -> None:
        job_id = house.accept()
        house.redis.lpush("nukki.interactive", *range(100))
        jump(0)
        house.upkeep.overdue()
        due = house.due(job_id)
        assert due is not None
        assert due - house.now() <= 60_000

    def test_a_storage_outage_ends_in_time(self, house: House, jump: Jump) -> None:
        house.leases.finish(house.claim(house.accept()), Status.SUCCEEDED, DONE)
        failed = Outcome(error=Failure(code="storage_unavailable", message="down"))
        job_id = house.accept()

        def release() -> bool:
            claim = house.claim(job_id)
            released = house.leases.release(claim, spend=False, patience_ms=50, impatient=failed)
            return released.failed

        assert not release()
        house.leases.finish(house.claim(house.accept()), Status.SUCCEEDED, DONE)
        jump(0)
        release()  # may still count as a new outage
        time.sleep(0.06)
        if house.status(job_id) is Status.QUEUED:
            assert release()
        assert house.status(job_id) is Status.FAILED

    def test_finished_jobs_and_unused_files_go_within_their_time(
        self, house: House, jump: Jump
    ) -> None:
        jump(400 * 24 * HOUR)
        job_id = house.accept()
        house.leases.finish(house.claim(job_id), Status.SUCCEEDED, DONE)
        photo = house.jobs.note_input("inp_1", "shop", expiry_ms=60_000)
        assert photo > house.now()
        jump(0)
        assert house.upkeep.past() == []
        assert house.upkeep.sweepable() == []
        score = house.redis.zscore(redis_keys.EXPIRY.key(), job_id)
        assert score - house.now() <= 60_000
        assert house.noted()["shop/inputs/inp_1"] - house.now() <= 15 * 24 * HOUR * 1000

    def test_an_archived_job_goes_within_its_time(self, house: House, jump: Jump) -> None:
        job_id = house.accept()
        house.leases.finish(house.claim(job_id), Status.SUCCEEDED, DONE)
        jump(0)
        assert house.jobs.let_go(house.jobs.get(job_id))
        ((_, score),) = house.redis.zrange(redis_keys.EXPIRY.key(), 0, -1, withscores=True)
        assert score - house.now() <= 60_000

    def test_a_webhook_is_tried_again_in_time(self, house: House, jump: Jump) -> None:
        jobs = [house.accept(webhook=HOOK) for _ in range(3)]
        for job_id in jobs:
            house.leases.finish(house.claim(job_id), Status.SUCCEEDED, DONE)
        taken = house.deliveries.take(limit=9, per_receiver=9, lease_ms=LEASE_MS)
        assert len(taken) == 3
        step = NextStep(DeliveryState.PENDING, 200)
        for delivery in taken[:2]:
            house.deliveries.settle(delivery, step, took_ms=1, status=500)
        jump(0)  # with two waiting, and one in flight from a courier that is dead
        seen: set[str] = set()
        deadline = time.monotonic() + 10
        while len(seen) < 2 and time.monotonic() < deadline:
            found = house.deliveries.take(limit=9, per_receiver=9, lease_ms=LEASE_MS)
            seen |= {delivery.id for delivery in found}
            time.sleep(0.05)
        assert seen == {delivery.id for delivery in taken[:2]}
        carried = redis_keys.CARRIED.key("shop/example.com")
        ends = house.redis.zrange(carried, 0, -1, withscores=True)
        assert max(end for _, end in ends) - house.now() <= LEASE_MS

    def test_a_new_webhook_is_sent_at_once(self, house: House, jump: Jump) -> None:
        first, second = house.accept(webhook=HOOK), house.accept(webhook=HOOK)
        house.leases.finish(house.claim(first), Status.SUCCEEDED, DONE)
        (taken,) = house.deliveries.take(limit=9, per_receiver=9, lease_ms=LEASE_MS)
        later = NextStep(DeliveryState.PENDING, 600_000)
        house.deliveries.settle(taken, later, took_ms=1, status=500)
        jump(0)
        house.deliveries.take(limit=9, per_receiver=9, lease_ms=LEASE_MS)
        house.leases.finish(house.claim(second), Status.SUCCEEDED, DONE)
        (new,) = house.deliveries.take(limit=9, per_receiver=9, lease_ms=LEASE_MS)
        assert new.job_id == second

    def test_a_worker_that_died_does_not_count_as_ready_for_an_hour(self, house: House) -> None:
        roll = WorkerRoll(house.connection)
        roll.sign_in(WorkerInfo("one", "grabcut", "cpu", 1))
        key = redis_keys.WORKER.key("one")
        house.redis.pexpire(key, 3_600_000)  # as a clock that went back leaves it
        assert [worker.name for worker in roll.present()] == ["one"]
        assert house.redis.pttl(key) <= ALIVE_MS


class TestForward:
    def test_leases_get_time_to_be_renewed(self, house: House, jump: Jump) -> None:
        janitor = Janitor(house.upkeep, house.jobs, SilentDoorbell(), patience=0.3)
        claim = house.claim(house.accept())
        janitor.look()
        jump(HOUR)
        janitor.look()
        janitor.look()
        assert house.leases.renew([claim]) == frozenset()
        time.sleep(0.4)
        janitor.look()
        janitor.look()
        assert house.status(claim.job.id) is Status.PROCESSING
        assert house.redis.hget(redis_keys.JOB.key(claim.job.id), "crashes") is None

    def test_a_dead_workers_job_is_taken_back_afterwards(self, house: House, jump: Jump) -> None:
        janitor = Janitor(house.upkeep, house.jobs, SilentDoorbell(), patience=0.1)
        claim = house.claim(house.accept())
        janitor.look()
        jump(HOUR)
        janitor.look()
        assert house.status(claim.job.id) is Status.PROCESSING
        time.sleep(0.2)
        janitor.look()
        assert house.status(claim.job.id) is Status.QUEUED

    def test_nothing_is_erased_for_an_hour(self, house: House, jump: Jump) -> None:
        house.leases.finish(house.claim(house.accept()), Status.SUCCEEDED, DONE)
        house.jobs.note_input("inp_1", "shop", expiry_ms=60_000)
        assert (house.upkeep.past(), house.upkeep.sweepable()) == ([], [])
        jump(HOUR)
        assert (house.upkeep.past(), house.upkeep.sweepable()) == ([], [])
        assert 0 < house.redis.pttl(redis_keys.HOLD.key()) <= 3_600_000
        house.redis.delete(redis_keys.HOLD.key())
        assert len(house.upkeep.past()) == 1
        assert house.upkeep.sweepable() == ["shop/inputs/inp_1"]

    def test_the_janitor_puts_the_sweeper_on_hold(self, house: House, jump: Jump) -> None:
        house.leases.finish(house.claim(house.accept()), Status.SUCCEEDED, DONE)
        house.upkeep.overdue()
        jump(HOUR)
        assert house.upkeep.overdue().jumped
        assert house.upkeep.past() == []

    def test_time_that_passes_is_no_jump(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now = 100.0
        monkeypatch.setattr(time, "monotonic", lambda: now)
        watch = ClockWatch(2_000)
        assert watch.latest_ms() is None
        watch.saw(5_000)
        now += HOUR
        assert watch.latest_ms() == 5_000 + HOUR * 1000 + 2_000
