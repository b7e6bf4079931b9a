"""A long queue: deaths in it are noticed, no job is forgotten, and its bells do not multiply."""

from __future__ import annotations

import threading
import time

import pytest

from shared.job import Lane, Status
from shared.queue import keys as redis_keys
from shared.queue.connection import Connection
from shared.queue.doorbell import QUEUES
from shared.queue.lanes import DepthReader
from shared.queue.upkeep import SHALLOW
from shared.settings import CourierSettings
from shared.testing import RedisProcess
from tests.backlog import Backlog
from worker.courier import rounds as courier

DEEP = 20_000
HOURS = 6
STEP = 120.0


@pytest.fixture
def backlog(each_connection: Connection) -> Backlog:
    return Backlog(each_connection)


class TestDeaths:
    def test_a_dead_worker_is_noticed_at_the_first_look(self, backlog: Backlog) -> None:
        backlog.fill(DEEP, due_ms=-60_000)  # all of which the janitor should have seen
        dead = backlog.leases.claim(str(backlog.take()))
        assert dead is not None
        assert backlog.upkeep.overdue().rings == ()
        backlog.age(31)
        rings = backlog.upkeep.overdue().rings
        assert rings == ((dead.job.id, Lane.RECLAIMED),)
        assert backlog.leases.lost([dead])

    def test_so_are_many_of_them_before_anything_else(self, backlog: Backlog) -> None:
        ids = backlog.fill(1_000, due_ms=-60_000)
        claims = [backlog.leases.claim(job_id) for job_id in ids[:500]]
        backlog.age(31)
        looks = [backlog.upkeep.overdue() for _ in range(3)]
        assert [len(look.rings) for look in looks] == [200, 200, 100]
        assert all(look.more for look in looks)
        assert backlog.leases.lost([claim for claim in claims if claim]) == set(ids[:500])

    def test_a_lease_from_before_there_was_a_set_of_them_ends_too(self, backlog: Backlog) -> None:
        (job_id,) = backlog.fill(1)
        assert backlog.leases.claim(job_id)
        backlog.redis.delete(redis_keys.LEASED.key())
        backlog.redis.zadd(redis_keys.DUE.key(), {job_id: 0})
        assert backlog.upkeep.overdue().rings == ((job_id, Lane.RECLAIMED),)

    @pytest.mark.parametrize("how", ["cancel", "erase"])
    def test_who_is_taken_from_its_worker_has_no_lease_left(
        self, backlog: Backlog, how: str
    ) -> None:
        (job_id,) = backlog.fill(1)
        assert backlog.leases.claim(job_id)
        getattr(backlog.jobs, how)(job_id, "shop")
        assert not backlog.redis.exists(redis_keys.LEASED.key(), redis_keys.DUE.key())

    def test_a_lease_that_ran_out_is_counted_as_overdue(
        self, backlog: Backlog, each_connection: Connection
    ) -> None:
        ids = backlog.fill(3)
        assert backlog.leases.claim(ids[0])
        reader = DepthReader(each_connection)
        assert (reader.read().unfinished, reader.read().overdue) == (3, 0)
        backlog.redis.zadd(redis_keys.LEASED.key(), {ids[0]: 0})
        assert (reader.read().unfinished, reader.read().overdue) == (3, 1)


class TestMessages:
    def test_a_long_queue_that_nobody_serves_is_not_rung_for(self, backlog: Backlog) -> None:
        backlog.fill(1_000)
        for _ in range(round(HOURS * 3600 / STEP)):
            backlog.age(STEP)
            backlog.look()
        assert backlog.messages() == 1_000

    @pytest.mark.parametrize("jobs", [1, 30, 100])
    def test_a_short_one_has_a_few_messages_a_job_at_most(
        self, backlog: Backlog, jobs: int
    ) -> None:
        backlog.fill(jobs)
        for _ in range(round(HOURS * 3600 / STEP)):
            backlog.age(STEP)
            backlog.look()
        assert backlog.messages() <= 3 * jobs

    def test_one_that_is_served_slowly_keeps_a_message_or_two_a_job(self, backlog: Backlog) -> None:
        backlog.fill(1_000)
        held = [backlog.take() for _ in range(16)]  # which their worker has not begun
        for _ in range(round(HOURS * 3600 / STEP)):
            backlog.serve(20)
            backlog.fill(20)
            backlog.age(STEP)
            backlog.look()
            assert backlog.messages() <= 1.1 * backlog.queued()
        assert held

    def test_a_look_of_a_long_queue_brings_the_next_one_far_off(self, backlog: Backlog) -> None:
        ids = backlog.fill(DEEP, due_ms=0)
        backlog.age(1)
        backlog.look()
        assert backlog.rung == []
        now = time.time() * 1000
        first, last = backlog.redis.zmscore(redis_keys.DUE.key(), [ids[0], ids[-1]])
        assert 25_000 < first - now < 35_000
        assert 190_000 < last - now < 210_000
        in_a_minute = backlog.redis.zcount(redis_keys.DUE.key(), "-inf", now + 60_000)
        assert in_a_minute < DEEP / 3


class TestLostMessages:
    def test_who_was_passed_over_is_rung_for_and_nobody_else(self, backlog: Backlog) -> None:
        lost = set(backlog.fill(300)[::10])
        for job_id in lost:
            backlog.redis.lrem(backlog.queue, 0, job_id)
        for _ in range(30):
            backlog.age(STEP)
            backlog.look()
            backlog.fill(20)
            backlog.serve(20)
            assert backlog.messages() >= SHALLOW
        assert set(backlog.rung) == lost
        assert len(backlog.rung) == len(lost)
        for _ in range(30):
            backlog.serve(20)
        assert {backlog.jobs.get(job_id).status for job_id in lost} == {Status.SUCCEEDED}

    def test_who_may_still_have_its_turn_is_not_rung_for(self, backlog: Backlog) -> None:
        lost = backlog.fill(100)[50]
        backlog.redis.lrem(backlog.queue, 0, lost)
        backlog.age(STEP)
        backlog.fill(300)
        backlog.serve(99)
        backlog.age(STEP)
        backlog.look()
        assert backlog.rung == []  # nobody who came later was served yet
        backlog.serve(1)
        backlog.age(STEP)
        backlog.look()
        assert backlog.rung == [lost]

    def test_who_was_passed_over_just_now_may_be_in_a_workers_hands(self, backlog: Backlog) -> None:
        (held,) = backlog.fill(1)
        backlog.take()
        backlog.age(1)
        backlog.fill(100)
        backlog.serve(10)
        for seconds, rung in [(20, []), (10, [held])]:
            backlog.age(seconds)
            backlog.redis.zadd(redis_keys.DUE.key(), {held: 0})
            backlog.look()
            assert backlog.rung == rung

    def test_a_job_of_two_messages_does_not_tell_who_was_passed_over(
        self, backlog: Backlog
    ) -> None:
        ids = backlog.fill(200)
        backlog.redis.hset(redis_keys.JOB.key(ids[0]), "rings", 1)  # rung again, just now
        backlog.serve(1)
        assert not backlog.redis.hexists(redis_keys.SERVED.key(), backlog.lane)
        backlog.serve(1)
        assert backlog.redis.hexists(redis_keys.SERVED.key(), backlog.lane)

    def test_when_all_are_lost_the_queue_is_rung_for_from_its_head(self, backlog: Backlog) -> None:
        ids = backlog.fill(3_000, due_ms=1_000_000)  # each put off while the lane was deep
        backlog.redis.delete(backlog.queue)
        rounds = 0
        while backlog.queued():
            backlog.look()
            rounds += 1
            assert backlog.messages() <= 200 + SHALLOW
            backlog.serve(backlog.messages())
            assert rounds < 20
        assert backlog.rung == ids

    def test_a_lane_that_emptied_starts_anew(self, backlog: Backlog) -> None:
        backlog.fill(3)
        backlog.serve(2)
        assert backlog.redis.exists(redis_keys.SERVED.key())
        backlog.serve(1)
        assert not backlog.redis.exists(redis_keys.SERVED.key())


class TestDelays:
    @pytest.mark.parametrize("spend", [True, False])
    def test_a_retry_is_rung_for_after_its_delay_in_a_long_queue_too(
        self, backlog: Backlog, spend: bool
    ) -> None:
        backlog.fill(1_000, due_ms=600_000)
        claim = backlog.leases.claim(str(backlog.take()))
        assert claim is not None
        backlog.leases.release(claim, delay_ms=2_000, spend=spend)
        backlog.look()
        assert backlog.rung == []
        backlog.age(2.1)
        backlog.look()
        backlog.look()
        assert backlog.rung == [claim.job.id]
        assert backlog.redis.lindex(backlog.queue, 0) == claim.job.id
        assert backlog.leases.claim(claim.job.id)

    def test_one_that_is_looked_at_too_early_waits_on(self, backlog: Backlog) -> None:
        (job_id,) = backlog.fill(1)
        claim = backlog.leases.claim(job_id)
        assert claim is not None
        backlog.leases.release(claim, delay_ms=60_000)
        ends = backlog.redis.zscore(redis_keys.DUE.key(), job_id)
        backlog.redis.zadd(redis_keys.DUE.key(), {job_id: 0})
        backlog.look()
        assert backlog.rung == []
        assert backlog.redis.zscore(redis_keys.DUE.key(), job_id) == ends


def test_the_couriers_looks_follow_one_another_while_there_is_more(
    connection: Connection, shared_redis: RedisProcess
) -> None:
    backlog = Backlog(connection)
    backlog.fill(DEEP, due_ms=-60_000)
    running = courier.Courier(CourierSettings.load(redis_url=shared_redis.url))
    thread = threading.Thread(target=running.run)
    thread.start()
    try:
        deadline = time.monotonic() + 10  # at two looks a second it would take fifty
        while connection.redis.zcount(redis_keys.DUE.key(), "-inf", time.time() * 1000):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        running.stop()
        thread.join()
    assert connection.redis.llen(QUEUES[Lane.BULK]) == DEEP
