"""Queue limits, in total and per tenant; and the counters behind them."""

from __future__ import annotations

import contextlib
import random
import threading
from collections import Counter

import pytest

from shared.errors import IdempotencyMismatch, NotFound, QueueFull, TooManyJobs
from shared.job import Input, Lane, Status, new_id
from shared.queue import keys as redis_keys
from shared.queue.answers import Idempotency, Room
from shared.queue.connection import Connection
from shared.queue.jobs import JobQueue
from shared.settings import ApiSettings
from tests.unit.test_queue import DONE, FAILED, RETENTION_MS, House

TENANTS = ("shop", "other", "third")


@pytest.fixture
def house(each_connection: Connection) -> House:
    return House(each_connection)


def roomed(house: House, queue: int, tenant: int) -> House:
    house.jobs = JobQueue(
        house.connection, retention_ms=RETENTION_MS, room=Room(queue=queue, tenant=tenant)
    )
    return house


def counted(house: House) -> dict[str, int]:
    """Queued jobs per tenant, as Redis counts them."""
    return {name: int(n) for name, n in house.redis.hgetall(redis_keys.QUEUED.key()).items()}


def recounted(house: House) -> dict[str, int]:
    """Queued jobs per tenant, counted from the lanes."""
    ids = [
        job_id for lane in Lane for job_id in house.redis.zrange(redis_keys.LANE.key(lane), 0, -1)
    ]
    return dict(Counter(house.jobs.get(job_id).tenant for job_id in ids))


class TestLimits:
    def test_a_full_queue_rejects_jobs(self, house: House) -> None:
        roomed(house, 3, 3)
        ids = [house.accept() for _ in range(3)]
        with pytest.raises(TooManyJobs, match="the queue is full"):
            house.accept()
        with pytest.raises(TooManyJobs, match="the queue is full"):
            house.jobs.admit("shop")
        house.claim(ids[0])  # a running job no longer counts as queued
        house.jobs.admit("shop")
        house.accept()

    def test_jobs_of_all_lanes_count_towards_the_limit(self, house: House) -> None:
        roomed(house, 3, 3)
        house.accept(render="job_" + "0" * 24)
        house.accept(priority="bulk")
        house.leases.release(house.claim(house.accept()), spend=False)  # reclaimed
        with pytest.raises(TooManyJobs):
            house.accept()

    def test_a_tenant_at_its_limit_does_not_block_others(self, house: House) -> None:
        roomed(house, 10, 2)
        house.accept()
        house.accept()
        with pytest.raises(TooManyJobs, match="share"):
            house.accept()
        with pytest.raises(TooManyJobs, match="share"):
            house.jobs.admit("shop")
        house.jobs.admit("other")
        house.accept(tenant="other")

    def test_an_input_is_recorded_only_when_admitted(self, house: House) -> None:
        roomed(house, 1, 1)
        first, second = (Input(new_id("inp"), "shop") for _ in range(2))
        house.jobs.admit("shop", first, expiry_ms=60_000)
        assert house.jobs.input(first.id, "shop").tenant == "shop"
        house.accept()
        with pytest.raises(TooManyJobs):
            house.jobs.admit("shop", second, expiry_ms=60_000)
        with pytest.raises(NotFound):
            house.jobs.input(second.id, "shop")

    @pytest.mark.parametrize(("of_used", "admitted"), [(4.0, True), (1.1, False)])
    def test_nothing_is_admitted_when_redis_is_nearly_full(
        self, house: House, of_used: float, admitted: bool
    ) -> None:
        house.accept()
        used = house.redis.info("memory")["used_memory"]
        house.redis.config_set("maxmemory", int(used * of_used))
        try:
            with contextlib.nullcontext() if admitted else pytest.raises(QueueFull):
                house.jobs.admit("shop")
        finally:
            house.redis.config_set("maxmemory", 0)

    def test_a_rejected_job_leaves_no_job_keys(self, house: House) -> None:
        roomed(house, 1, 1)
        house.accept()
        before = set(house.redis.keys("*"))
        with pytest.raises(TooManyJobs):
            house.accept(idempotency=Idempotency("k", "f"))
        added = set(house.redis.keys("*")) - before
        assert [name.split(":")[1] for name in added] in (["input", "sweep"], ["sweep", "input"])
        assert len(house.jobs.page("shop", limit=10).jobs) == 1

    def test_a_repeated_request_succeeds_when_the_queue_is_full(self, house: House) -> None:
        roomed(house, 1, 1)
        first = house.accept(idempotency=Idempotency("k", "f"))
        assert house.accept(idempotency=Idempotency("k", "f")) == first
        with pytest.raises(IdempotencyMismatch):
            house.accept(idempotency=Idempotency("k", "other"))

    def test_concurrent_requests_do_not_exceed_the_limit(self, house: House) -> None:
        roomed(house, 5, 5)
        taken: list[str] = []

        def accept() -> None:
            with contextlib.suppress(TooManyJobs):
                taken.append(house.accept())

        threads = [threading.Thread(target=accept) for _ in range(24)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(taken) == 5

    @pytest.mark.parametrize(
        ("keys", "room"), [("", 100), ("a:1,a:2", 100), ("a:1,b:2", 30), ("a:1,b:2,c:3", 30)]
    )
    def test_the_tenant_limit_applies_only_with_several_tenants(self, keys: str, room: int) -> None:
        settings = ApiSettings.load(api_keys=keys, max_queued=100, tenant_share=0.3)
        assert settings.max_queued_of_a_tenant == room


def random_step(house: House, chance: random.Random, ids: list[str]) -> None:
    """Apply a random operation to a random job."""
    job_id = chance.choice(ids)
    tenant = chance.choice(TENANTS)
    match chance.randrange(9):
        case 0 | 1:
            priority = chance.choice(["bulk", "interactive"])
            key = Idempotency(str(chance.randrange(5)), "f") if chance.random() < 0.3 else None
            ids.append(house.accept(tenant=tenant, priority=priority, idempotency=key))
        case 2 | 3:
            claim = house.leases.claim(job_id, alone=True)
            if claim is not None and chance.random() < 0.8:
                end = chance.choice([(Status.SUCCEEDED, DONE), (Status.FAILED, FAILED)])
                house.leases.finish(claim, *end)
        case 4:
            claim = house.leases.claim(job_id, alone=True)
            if claim is not None:
                house.leases.release(claim, delay_ms=chance.choice([0, 1]), spend=False)
        case 5:
            house.jobs.cancel(job_id, tenant)
        case 6:
            house.jobs.erase(job_id, tenant)
        case 7:
            for family in (redis_keys.DUE, redis_keys.LEASED):
                house.redis.zadd(family.key(), {job_id: 0}, xx=True)
            house.upkeep.overdue()
        case 8:
            impatient = house.leases.claim(job_id, alone=True)
            if impatient is not None:
                house.leases.release(impatient, spend=False, patience_ms=0, impatient=FAILED)


@pytest.mark.parametrize("seed", range(6))
def test_queued_counts_always_match_a_recount(house: House, seed: int) -> None:
    chance = random.Random(seed)
    ids = [house.accept(tenant=tenant) for tenant in TENANTS]
    for _ in range(250):
        random_step(house, chance, ids)
        assert counted(house) == recounted(house)
    for job_id in ids:
        house.jobs.erase(job_id)
    assert counted(house) == {}
