"""Redis forgets, by FLUSHALL or a rollback: what is left in storage is adopted or swept in time."""

from __future__ import annotations

import pytest

from shared.job import Status
from shared.queue import keys as redis_keys
from shared.queue.connection import Connection
from shared.queue.forgotten import Forgotten
from shared.records import Records
from shared.storage import keys
from shared.testing import MemoryStorage
from tests.unit.test_queue import DONE, RETENTION_MS, House
from worker.courier import reconcile
from worker.courier.reconcile import Reconcile
from worker.courier.sweeper import Sweeper

OLD = 10 * RETENTION_MS / 1000


class Attic(House):
    """A queue with a storage in which files grow old together."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self.storage = MemoryStorage()
        self.records = Records(self.jobs, self.storage)
        self.sweeper = Sweeper(self.upkeep, self.jobs, self.storage)
        self.reconcile = self.courier()

    def courier(self, retention_ms: int = RETENTION_MS) -> Reconcile:
        forgotten = Forgotten(self.connection, retention_ms=retention_ms)
        return Reconcile(forgotten, self.records, self.storage, retention_ms=retention_ms)

    def stored(self) -> str:
        """A job whose photo is stored."""
        job_id = self.accept()
        self.storage.put(keys.input_key("shop", self.jobs.get(job_id).input_id), b"photo", "")
        return job_id

    def finished(self) -> str:
        job_id = self.stored()
        claim = self.claim(job_id)
        for name in keys.ATTEMPT_FILES:
            self.storage.put(keys.attempt_key("shop", job_id, 1, name), b"file", "")
        assert self.leases.finish(claim, Status.SUCCEEDED, DONE)
        return job_id

    def walk(self) -> None:
        """Walk through all of storage once, and sweep what was found."""
        for _ in range(50):
            self.reconcile.step()
            if self.redis.hget(redis_keys.WALK.key(), "rests_until") != "0":
                break
        else:
            pytest.fail("the walk does not end")
        while self.sweeper.clear():
            pass


@pytest.fixture
def attic(each_connection: Connection) -> Attic:
    return Attic(each_connection)


def test_what_redis_forgot_is_swept_once_it_is_old(attic: Attic) -> None:
    attic.finished()
    attic.stored()
    attic.redis.flushall()
    before = dict(attic.storage.objects)
    attic.walk()
    assert attic.storage.objects == before  # all of it is young
    attic.storage.age = OLD
    attic.redis.delete(redis_keys.WALK.key())
    attic.walk()
    assert attic.storage.objects == {}


def test_what_a_record_owns_stays_however_old(attic: Attic) -> None:
    attic.finished()
    attic.claim(attic.stored())
    attic.stored()
    attic.jobs.note_input("inp_" + "1" * 24, "shop", expiry_ms=60_000)
    attic.storage.put(keys.upload_key("shop", "inp_" + "1" * 24), b"upload", "")
    attic.storage.age = OLD
    before = dict(attic.storage.objects)
    attic.walk()
    assert attic.storage.objects == before


def test_an_archived_job_is_remembered_with_its_photo(attic: Attic) -> None:
    job_id = attic.finished()
    photo = attic.jobs.get(job_id).input_id
    assert attic.records.archive(job_id)
    attic.redis.flushall()
    attic.storage.age = OLD
    before = dict(attic.storage.objects)
    attic.walk()
    attic.redis.delete(redis_keys.WALK.key())
    attic.walk()  # twice counts once
    assert attic.storage.objects == before
    assert attic.jobs.input(photo, "shop").stored
    assert attic.redis.hget(redis_keys.INPUT.key(photo), "refs") == "1"
    ((name, score),) = attic.redis.zrange(redis_keys.EXPIRY.key(), 0, -1, withscores=True)
    assert 0 < score - attic.now() <= RETENTION_MS
    attic.redis.zadd(redis_keys.EXPIRY.key(), {name: 0})
    while attic.sweeper.clear():
        pass
    assert attic.storage.objects == {}
    assert attic.redis.hgetall(redis_keys.HELD.key()) == {}


def test_an_archive_past_its_time_is_swept_with_its_files(attic: Attic) -> None:
    job_id = attic.finished()
    attic.records.archive(job_id)
    attic.redis.flushall()
    attic.reconcile = attic.courier(retention_ms=1)
    attic.storage.age = OLD
    attic.walk()
    assert attic.storage.objects == {}


def test_a_rolled_back_job_keeps_what_it_will_use(attic: Attic) -> None:
    job_id = attic.stored()
    fields = attic.redis.hgetall(redis_keys.JOB.key(job_id))
    claim = attic.claim(job_id)
    attic.storage.put(keys.attempt_key("shop", job_id, 1, keys.RESULT), b"later", "")
    assert attic.leases.finish(claim, Status.SUCCEEDED, DONE)
    attic.redis.delete(redis_keys.JOB.key(job_id), redis_keys.EXPIRY.key())
    attic.redis.hset(redis_keys.JOB.key(job_id), mapping=fields)  # queued again, not yet claimed
    attic.storage.age = OLD
    before = dict(attic.storage.objects)
    attic.walk()
    assert attic.storage.objects == before


def test_files_of_others_stay(attic: Attic) -> None:
    others = ["notes.txt", "shop/readme", "shop/jobs/x/1/strange", "shop/inputs/a/b", "a/b/c/d/e"]
    for name in others:
        attic.storage.put(name, b"theirs", "")
    attic.storage.age = OLD
    attic.walk()
    assert sorted(attic.storage.objects) == sorted(others)


def test_the_walk_goes_on_where_another_courier_left_it(
    attic: Attic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile, "FILES", 2)
    for number in range(5):
        attic.storage.put(f"shop/inputs/inp_{number}", b"photo", "")
    attic.reconcile.step()
    other = attic.courier()
    other.step()
    assert attic.redis.hget(redis_keys.WALK.key(), "after") == "shop/inputs/inp_1"
    attic.redis.delete(redis_keys.WALKER.key())  # the first is gone
    other.step()
    assert attic.redis.hget(redis_keys.WALK.key(), "after") == "shop/inputs/inp_3"


def test_nothing_is_swept_after_the_clock_jumped(attic: Attic) -> None:
    attic.stored()
    attic.redis.flushall()
    attic.redis.set(redis_keys.HOLD.key(), 1)
    attic.storage.age = OLD
    before = dict(attic.storage.objects)
    attic.walk()
    assert attic.storage.objects == before


def test_the_courier_rests_between_walks(attic: Attic) -> None:
    attic.walk()
    attic.storage.put("shop/inputs/inp_1", b"photo", "")
    attic.storage.age = OLD
    attic.reconcile.step()
    assert attic.redis.hget(redis_keys.WALK.key(), "after") == ""
    attic.redis.hset(redis_keys.WALK.key(), "rests_until", 10**15)  # the clock went back
    attic.walk()
    assert attic.storage.objects == {}
