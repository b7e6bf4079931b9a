"""Records are bounded in bytes per tenant and in all, and the counts behind that never drift."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from functools import partial

import pytest

from shared.errors import QueueFull, ServiceError, TooManyJobs, UploadQuota
from shared.job import Input, Job, Status, new_id
from shared.queue import keys as redis_keys
from shared.queue.answers import Idempotency, Remains, Room
from shared.queue.connection import Connection
from shared.queue.family import Family
from shared.queue.jobs import JobQueue
from shared.queue.leases import LeaseTable
from shared.schema import JobRequest
from shared.settings import ApiSettings
from tests.unit.test_backpressure import TENANTS, random_step
from tests.unit.test_queue import DONE, RETENTION_MS, House

HOOK = {"url": "https://example.com/hook"}
#: By `held.lua`: of an archived job, without its name.
ARCHIVED = 400


@pytest.fixture
def house(each_connection: Connection) -> House:
    return House(each_connection)


def limited(house: House, size: int, share: float = 1.0) -> House:
    room = Room(1_000, 1_000, size, share)
    house.jobs = JobQueue(house.connection, retention_ms=RETENTION_MS, room=room)
    return house


def until(error: type[ServiceError], act: Callable[[], object], match: str = "") -> int:
    """How often `act` works before it raises this error."""
    for times in range(1_000):
        try:
            act()
        except error as refusal:
            assert match in str(refusal)  # noqa: PT017
            return times
    pytest.fail(f"no {error.__name__}")


def counts(house: House, family: Family) -> dict[str, int]:
    return {name: int(n) for name, n in house.redis.hgetall(family.key()).items()}


def recounted(house: House) -> dict[str, int]:
    """Bytes per tenant, from the records themselves."""
    found: Counter[str] = Counter()
    for family in (redis_keys.JOB, redis_keys.DELIVERY):
        for key in house.redis.keys(family.glob):
            tenant, size = house.redis.hmget(key, "tenant", "bytes")
            found[tenant] += int(size)
    for name in house.redis.zrange(redis_keys.EXPIRY.key(), 0, -1):
        if "/" in name:
            found[name.partition("/")[0]] += ARCHIVED + -(-5 * len(name) // 4)
    return dict(found) | ({"*": found.total()} if found else {})


def promised(house: House) -> dict[str, int]:
    found: Counter[str] = Counter()
    for key in house.redis.keys(redis_keys.INPUT.glob):
        tenant, size = house.redis.hmget(key, "tenant", "promised")
        found[tenant] += int(size or 0)
    return dict(+found)


def upload(house: House, tenant: str = "shop", size: int = 1_000_000, quota: int = 10**12) -> str:
    photo = new_id("inp")
    house.jobs.note_input(photo, tenant, expiry_ms=60_000, size=size, quota=quota)
    return photo


def use(house: House, photo: str, tenant: str = "shop") -> str:
    job = Job(new_id("job"), tenant, JobRequest(), photo, "http://here")
    return house.jobs.accept(job, Input(photo, tenant, stored=True)).job_id


def archive(house: House, job_id: str) -> Remains:
    job = house.jobs.get(job_id)
    assert house.jobs.let_go(job)
    return Remains.of(job)


class TestCounts:
    @pytest.mark.parametrize("seed", range(4))
    def test_they_always_match_a_recount(self, house: House, seed: int) -> None:
        chance = random.Random(seed)
        ids = [house.accept(tenant=tenant, webhook=HOOK) for tenant in TENANTS]
        archived: dict[str, Remains] = {}
        uploads: list[tuple[str, str]] = []
        for _ in range(200):
            random_step(house, chance, ids)
            tenant, job_id = chance.choice(TENANTS), chance.choice(ids)
            match chance.randrange(6):
                case 0:
                    large = {"text": "x" * chance.randrange(4_000)}
                    key = Idempotency(str(chance.randrange(5)), "f")
                    ids.append(
                        house.accept(tenant=tenant, webhook=HOOK, metadata=large, idempotency=key)
                    )
                case 1:
                    held = house.redis.hget(redis_keys.JOB.key(job_id), "finished")
                    if held is not None:
                        archived[job_id] = archive(house, job_id)
                case 2 if archived:
                    gone = chance.choice(list(archived))
                    house.jobs.erase_remains(gone, archived.pop(gone))
                case 3:
                    uploads.append((upload(house, tenant, chance.randrange(10**6)), tenant))
                case 4 if uploads:
                    ids.append(use(house, *uploads.pop()))
                case 5:
                    for name in house.redis.zrange(redis_keys.SWEEP.key(), 0, 3):
                        house.redis.zadd(redis_keys.SWEEP.key(), {name: 0})
                    gone_ids = {name.rpartition("/")[2] for name in house.upkeep.sweepable(4)}
                    uploads = [item for item in uploads if item[0] not in gone_ids]
            assert counts(house, redis_keys.HELD) == recounted(house)
            assert counts(house, redis_keys.PROMISED) == promised(house)
        for job_id in ids:
            house.jobs.erase(job_id)
        for job_id, remains in archived.items():
            house.jobs.erase_remains(job_id, remains)
        assert counts(house, redis_keys.HELD) == {}

    def test_they_are_no_less_than_what_redis_allocates(self, house: House) -> None:
        before = house.redis.info("memory")["used_memory"]
        for number in range(300):
            house.accept(
                webhook=HOOK,
                metadata={"text": "x" * 10 * number},
                idempotency=Idempotency(f"order-{number}", "f" * 64),
            )
        grown = house.redis.info("memory")["used_memory"] - before
        counted = counts(house, redis_keys.HELD)["*"]
        assert grown < counted < 3 * grown, (grown, counted)

    def test_records_of_before_there_were_counts_do_no_harm(self, house: House) -> None:
        old = [house.accept(webhook=HOOK) for _ in range(2)]
        for job_id in old:
            house.redis.hdel(redis_keys.JOB.key(job_id), "bytes")
        house.redis.delete(redis_keys.HELD.key())
        house.jobs.cancel(old[0], "shop")
        house.jobs.erase(old[1])
        new = house.accept()
        house.jobs.erase(old[0])
        house.jobs.erase(new)
        assert counts(house, redis_keys.HELD) == {}


class TestLimits:
    def test_a_tenant_with_large_records_leaves_room_for_others(self, house: House) -> None:
        limited(house, 200_000, 0.5)
        large = partial(house.accept, metadata={"text": "x" * 4_000})
        assert 10 < until(TooManyJobs, large, "share of the queue's memory") < 25
        until(TooManyJobs, house.accept)
        until(TooManyJobs, lambda: house.jobs.admit("shop"))
        house.jobs.admit("other")
        house.accept(tenant="other", metadata={"text": "x" * 4_000})

    def test_all_tenants_together_have_a_limit(self, house: House) -> None:
        limited(house, 100_000, 0.5)
        for tenant in ("one", "two"):
            until(TooManyJobs, partial(house.accept, tenant=tenant))
        until(QueueFull, partial(house.accept, tenant="three"))

    def test_canceled_jobs_still_count(self, house: House) -> None:
        limited(house, 100_000)
        until(TooManyJobs, lambda: house.jobs.cancel(house.accept(), "shop"))

    def test_erased_jobs_leave_nothing_behind(self, house: House) -> None:
        limited(house, 50_000)
        house.accept()
        before = house.redis.dbsize()
        for number in range(100):
            key = Idempotency(f"{number}", "f")
            house.jobs.erase(house.accept(idempotency=key, webhook=HOOK))
        house.redis.delete(redis_keys.SWEEP.key())
        assert house.redis.dbsize() <= before + 1

    def test_finished_jobs_are_archived_early_for_room(self, house: House) -> None:
        limited(house, 100_000)
        leases = LeaseTable(
            house.connection, worker="one", lease_ms=30_000, retention_ms=10 * RETENTION_MS
        )
        until(
            TooManyJobs,
            lambda: leases.finish(house.claim(house.accept(), leases), Status.SUCCEEDED, DONE),
        )
        due = house.upkeep.past()
        assert due
        assert not any(item.erase for item in due)
        for item in due:
            archive(house, item.job_id)
        house.accept()

    def test_the_limits_follow_the_maxmemory_of_redis(self, house: House) -> None:
        limited(house, 10**12, 0.5)
        house.accept()
        used = house.redis.info("memory")["used_memory"]
        house.redis.config_set("maxmemory", 4 * used)
        try:
            until(TooManyJobs, partial(house.accept, metadata={"text": "x" * 4_000}))
            house.jobs.admit("other")
            house.accept(tenant="other")
        finally:
            house.redis.config_set("maxmemory", 0)


class TestUploads:
    def test_unused_uploads_are_limited(self, house: House) -> None:
        first = upload(house, size=600, quota=150_000)  # each counts 65,536 or more
        upload(house, size=600, quota=150_000)
        with pytest.raises(UploadQuota):
            upload(house, size=600, quota=150_000)
        upload(house, "other", size=600, quota=150_000)
        use(house, first)
        upload(house, size=600, quota=150_000)

    def test_an_expired_upload_no_longer_counts(self, house: House) -> None:
        photo = upload(house, size=100_000, quota=150_000)
        house.redis.zadd(redis_keys.SWEEP.key(), {f"shop/inputs/{photo}": 0})
        house.upkeep.sweepable()
        upload(house, size=100_000, quota=150_000)

    def test_a_refused_upload_leaves_nothing(self, house: House) -> None:
        before = set(house.redis.keys("*"))
        with pytest.raises(UploadQuota):
            upload(house, size=100_000, quota=50_000)
        assert set(house.redis.keys("*")) == before


def largest_request() -> JobRequest:
    """The request with the largest record that the schema and the intake let through."""
    point = [123_456.12345678901, 1.2345678901234567e-05]
    item = {"points": [point] * 31, "labels": [1] * 31, "box": [*point[::-1], *point]}
    url = "https://example.com/" + "\N{GRINNING FACE}" * 2028
    body = {
        "url": url,
        "model": "\N{GRINNING FACE}" * 64,
        "objects": [item | {"box": [1e-05, 1.2345678901234567e-05, *point[:1], 9e5]}] * 32,
        "output": {"background": "#ffffff", "margin": "10.1234%"},
        "webhook": {"url": url, "events": ["job.succeeded", "job.failed", "job.needs_review"]},
        "metadata": {"m": "x" * 4_000},
    }
    request = JobRequest.model_validate_json(json.dumps(body))
    assert request.excess() is None
    return request


class TestLargest:
    def test_the_largest_record_stays_below_100_kb(self, house: House) -> None:
        request = largest_request()
        photo = Input(new_id("inp"), "shop", url=request.url)
        job = Job(new_id("job"), "shop", request, photo.id, "http://here")
        house.jobs.accept(job, photo, Idempotency("k" * 255, "f"))
        assert 50_000 < counts(house, redis_keys.HELD)["*"] < 100_000

    def test_points_are_counted_over_all_objects(self) -> None:
        item = {"points": [[1, 1]] * 251}
        assert JobRequest.model_validate({"objects": [item] * 3}).excess() is None
        problem = JobRequest.model_validate({"objects": [item] * 4}).excess()
        assert problem is not None
        assert "1,004 points in all; at most 1,000" in problem.message

    def test_a_page_of_large_records_is_bounded(self, house: House) -> None:
        for _ in range(60):
            house.accept(objects=largest_request().objects)
        cursor, seen, pages = None, 0, 0
        while True:
            page = house.jobs.page("shop", limit=50, cursor=cursor, status=Status.QUEUED)
            seen, pages, cursor = seen + len(page.jobs), pages + 1, page.cursor
            assert sum(len(job.to_fields()["request"]) for job in page.jobs) < 1_100_000
            if cursor is None:
                break
        assert (seen, pages > 2) == (60, True)


def test_the_settings_bound_bytes_by_default() -> None:
    settings = ApiSettings.load(api_keys="a:1,b:2", max_record_mb=10.0)
    assert settings.max_record_bytes == 10_000_000
    assert settings.share_of_a_tenant == 0.5
    assert ApiSettings.load(max_record_mb=10.0).share_of_a_tenant == 1.0
