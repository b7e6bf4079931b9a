"""Finished records: archived, read from their archive, erased with it; on each version of Redis."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any, BinaryIO

import pytest
from pydantic import ValidationError

from shared.errors import IdempotencyMismatch, NotFound, StorageUnavailable
from shared.job import Job, Outcome, Status, new_id
from shared.queue import keys as redis_keys
from shared.queue.answers import Idempotency
from shared.queue.connection import Connection
from shared.records import ArchivedJob, Records
from shared.schema import JobRequest, Webhook
from shared.settings import ApiSettings
from shared.storage import keys
from shared.testing import MemoryStorage
from tests.unit.test_queue import DONE, FAILED, RETENTION_MS, House
from worker.courier.sweeper import Sweeper


class Archive(House):
    """The queue, a storage beside it, and a sweeper."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self.storage = MemoryStorage()
        self.records = Records(self.jobs, self.storage)
        self.sweeper = Sweeper(self.upkeep, self.jobs, self.storage)

    def done(self, **request: Any) -> Job:
        """A job that succeeded, its files stored."""
        claim = self.claim(self.accept(**request))
        self.storage.put(keys.input_key("shop", claim.photo.id), b"photo", "")
        key = keys.attempt_key("shop", claim.job.id, claim.job.claims, keys.RESULT)
        self.storage.put(key, b"result", "")
        self.leases.finish(claim, Status.SUCCEEDED, DONE)
        return self.jobs.get(claim.job.id)

    def make_past(self, name: str) -> None:
        """Let the next date of a finished job be past."""
        assert self.redis.zadd(redis_keys.EXPIRY.key(), {name: 0}, xx=True, ch=True)

    def archived(self, **request: Any) -> Job:
        """A job that succeeded, and whose record Redis has let go."""
        job = self.done(**request)
        self.make_past(job.id)
        self.sweeper.clear()
        return job

    def dated(self) -> dict[str, float]:
        return dict(self.redis.zrange(redis_keys.EXPIRY.key(), 0, -1, withscores=True))


@pytest.fixture
def house(each_connection: Connection) -> Archive:
    return Archive(each_connection)


class TestArchiving:
    def test_a_record_moves_from_redis_to_storage(self, each_connection: Connection) -> None:
        house = Archive(each_connection)
        house.leases = house.worker("one", record_ms=1_000)
        job = house.done()
        assert 0 < house.dated()[job.id] - house.now() <= 1_000
        house.make_past(job.id)
        house.sweeper.clear()
        with pytest.raises(NotFound):
            house.jobs.get(job.id)
        assert house.records.get(job.id, "shop") == job

    @pytest.mark.parametrize("end", ["failed", "canceled", "canceled while queued"])
    def test_however_it_ended(self, house: Archive, end: str) -> None:
        job_id = house.accept(
            metadata={"sku": [1, 2.5, None, "å"]}, webhook=Webhook(url="http://x")
        )
        if end == "failed":
            house.leases.finish(house.claim(job_id), Status.FAILED, FAILED)
        elif end == "canceled":
            house.claim(job_id)
        house.jobs.cancel(job_id, "shop")
        job = house.jobs.get(job_id)
        house.make_past(job_id)
        house.sweeper.clear()
        assert house.records.get(job_id, "shop") == job

    def test_archiving_leaves_in_redis_only_what_erasing_needs(self, house: Archive) -> None:
        job = house.archived()
        name = f"shop/jobs/{job.id}/1/{job.input_id}"
        assert set(house.redis.keys("*")) == {
            redis_keys.EXPIRY.key(),
            redis_keys.HELD.key(),
            redis_keys.INPUT.key(job.input_id),
        }
        finished = job.finished_ms or 0
        assert house.dated() == {name: finished + RETENTION_MS}

    def test_a_running_job_is_not_archived(self, house: Archive) -> None:
        job_id = house.claim(house.accept()).job.id
        house.redis.zadd(redis_keys.EXPIRY.key(), {job_id: 0})
        with pytest.raises(ValidationError):
            house.records.archive(job_id)
        assert house.status(job_id) is Status.PROCESSING

    def test_while_the_storage_is_away_the_record_stays(self, house: Archive) -> None:
        job = house.done()
        house.make_past(job.id)
        house.storage.down = True
        house.sweeper.clear()
        assert house.jobs.get(job.id) == job
        house.storage.down = False
        house.sweeper.clear()
        assert house.jobs.get(job.id) == job  # put off for a minute
        house.make_past(job.id)
        house.sweeper.clear()
        assert house.records.get(job.id, "shop") == job
        with pytest.raises(NotFound):
            house.jobs.get(job.id)

    def test_it_is_noted_before_it_is_stored(self, house: Archive) -> None:
        job = house.done()
        house.make_past(job.id)
        (past,) = house.upkeep.past()  # and here the janitor is killed
        assert list(house.noted()) == [keys.archive_key("shop", job.id)]
        assert house.records.archive(past.job_id)
        assert house.noted() == {}

    def test_an_archive_that_came_after_the_erasing_is_swept(self, house: Archive) -> None:
        job = house.done()
        put = house.storage.put

        def erased_meanwhile(key: str, data: bytes | BinaryIO, content_type: str) -> None:
            erased = house.jobs.erase(job.id, "shop")
            assert erased is not None
            house.storage.delete([file for name in erased.files for file in keys.files_of(name)])
            house.jobs.swept(*erased.files)
            put(key, data, content_type)

        house.storage.put = erased_meanwhile  # type: ignore[method-assign]
        assert not house.records.archive(job.id)
        assert list(house.storage.objects) == [keys.archive_key("shop", job.id)]
        house.sweeper.clear()
        assert house.storage.objects == {}
        assert house.redis.keys("*") == []

    def test_of_many_janitors_each_leaves_the_one_archive(self, house: Archive) -> None:
        jobs = [house.done() for _ in range(10)]
        for job in jobs:
            house.make_past(job.id)
        go = threading.Barrier(8)
        failures: list[BaseException] = []

        def archive_all() -> None:
            go.wait()
            try:
                for job in jobs:
                    house.records.archive(job.id)
            except BaseException as error:  # noqa: BLE001
                failures.append(error)

        _together(archive_all, 8)
        assert failures == []
        assert house.noted() == {}
        assert len(house.dated()) == 10
        assert [house.records.get(job.id, "shop") for job in jobs] == jobs


class TestReading:
    def test_another_tenant_finds_nothing(self, house: Archive) -> None:
        job = house.archived()
        with pytest.raises(NotFound):
            house.records.get(job.id, "other")
        assert house.records.erase(job.id, "other") is None
        assert house.records.get(job.id, "shop") == job

    def test_without_the_storage_it_cannot_be_known(self, house: Archive) -> None:
        job = house.archived()
        house.storage.down = True
        with pytest.raises(StorageUnavailable):
            house.records.get(job.id, "shop")

    @pytest.mark.parametrize(
        "change",
        [
            lambda record: record | {"version": 2},
            lambda record: record | {"status": "processing"},
            lambda record: record | {"surprise": 1},
            lambda record: {name: record[name] for name in record if name != "tenant"},
        ],
        ids=["a later version", "not finished", "an unknown field", "a field is missing"],
    )
    def test_an_archive_that_is_not_valid_is_not_believed(
        self, house: Archive, change: Callable[[dict[str, Any]], dict[str, Any]]
    ) -> None:
        job = house.archived()
        key = keys.archive_key("shop", job.id)
        record = change(json.loads(house.storage.objects[key]))
        house.storage.objects[key] = json.dumps(record).encode()
        with pytest.raises(NotFound):
            house.records.get(job.id, "shop")

    def test_an_idempotency_key_still_finds_its_job(self, house: Archive) -> None:
        job = house.archived(idempotency=Idempotency("k", "f"))
        assert house.records.repeated("shop", Idempotency("k", "f")) == job.id
        with pytest.raises(IdempotencyMismatch):
            house.records.repeated("shop", Idempotency("k", "other"))
        house.records.erase(job.id, "shop")
        house.sweeper.clear()
        assert house.records.repeated("shop", Idempotency("k", "f")) is None

    def test_the_archive_says_all_that_the_record_does(self) -> None:
        job = Job(
            id=new_id("job"),
            tenant="shop",
            request=JobRequest.model_validate(
                {"prompt": {"points": [[1, 2]]}, "metadata": {"a": 1}}
            ),
            input_id=new_id("inp"),
            base_url="http://here",
            status=Status.SUCCEEDED,
            parent_alpha="shop/jobs/x/1/alpha",
            created_ms=1,
            started_ms=2,
            finished_ms=3,
            attempts=4,
            claims=5,
            outcome=Outcome(model="m", warnings=("w",), timings_ms={"total": 1.5}),
        )
        text = ArchivedJob.of(job).model_dump_json(exclude_defaults=True)
        assert ArchivedJob.model_validate_json(text).job() == job
        assert json.loads(text)["version"] == 1


class TestErasing:
    @pytest.mark.parametrize("by", ["its caller", "its retention"])
    def test_everything_goes(self, house: Archive, by: str) -> None:
        job = house.archived()
        assert len(house.storage.objects) == 3
        if by == "its caller":
            assert house.records.erase(job.id, "shop") is not None
        else:
            house.make_past(f"shop/jobs/{job.id}/1/{job.input_id}")
            house.sweeper.clear()
        house.sweeper.clear()
        assert house.storage.objects == {}
        assert house.redis.keys("*") == []

    def test_erasing_twice_erases_once(self, house: Archive) -> None:
        job = house.archived()
        second = house.jobs.get(house.accept())
        photo = house.jobs.input(job.input_id, "shop")
        shared = Job(new_id("job"), "shop", JobRequest(), photo.id, "http://here")
        house.jobs.accept(shared, photo)
        for _ in range(3):
            house.records.erase(job.id, "shop")
        refs = house.redis.hget(redis_keys.INPUT.key(photo.id), "refs")
        assert refs == "1"  # the other job's
        assert house.jobs.get(second.id)
        house.sweeper.clear()
        assert list(house.storage.objects) == [keys.input_key("shop", photo.id)]

    def test_of_many_who_erase_it_at_once_one_counts(self, house: Archive) -> None:
        job = house.archived()
        photo = house.jobs.input(job.input_id, "shop")
        for _ in range(3):
            other = Job(new_id("job"), "shop", JobRequest(), photo.id, "http://here")
            house.jobs.accept(other, photo)
        _together(lambda: house.records.erase(job.id, "shop"), 8)
        assert house.redis.hget(redis_keys.INPUT.key(photo.id), "refs") == "3"

    def test_a_photo_that_redis_forgot_goes_too(self, house: Archive) -> None:
        job = house.archived()
        house.redis.flushall()
        assert house.records.get(job.id, "shop") == job
        house.records.erase(job.id, "shop")
        house.sweeper.clear()
        assert house.storage.objects == {}

    def test_past_its_retention_a_record_is_not_archived_first(self, house: Archive) -> None:
        job = house.done()
        house.redis.hset(redis_keys.JOB.key(job.id), "finished", 0)
        house.make_past(job.id)
        house.sweeper.clear()
        assert house.storage.objects == {}
        assert house.redis.keys("*") == []


def test_an_archived_job_takes_little_of_redis(house: Archive) -> None:
    def used() -> int:
        return int(house.redis.info("memory")["used_memory_dataset"])

    before = used()
    for _ in range(500):
        job = house.done()
        house.make_past(job.id)
        house.records.archive(job.id)
    taken = (used() - before) / 500
    print(f"{taken:.0f} bytes an archived job")
    assert taken < 700


def test_a_record_is_never_kept_longer_than_its_job() -> None:
    assert ApiSettings.load(retention=60, record_retention=90).record_ms == 60_000
    assert ApiSettings.load(retention=60, record_retention=9).record_ms == 9_000


def _together(act: Callable[[], object], count: int) -> None:
    threads = [threading.Thread(target=act) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
