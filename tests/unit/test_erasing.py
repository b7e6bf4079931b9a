"""After an erase nothing of a job stays, whatever those who had claimed it store later."""

from __future__ import annotations

import threading
from threading import Event

import pytest

from shared.job import Input, Job, Status, new_id
from shared.queue import keys as redis_keys
from shared.queue.answers import Erased
from shared.queue.connection import Connection
from shared.queue.leases import Claim
from shared.queue.times import LINGER_MS
from shared.schema import JobRequest
from shared.storage import keys
from tests.unit.test_queue import DONE, FAILED
from tests.unit.test_records import Archive

URL = "https://example.com/photo.jpg"


class Ground(Archive):
    """The queue and a storage, as callers erase from them and late workers store to them."""

    def accept_on(self, photo: Input | None = None) -> str:
        """Accept a job on this photo, or on one of its own that a worker is to fetch."""
        photo = photo or Input(new_id("inp"), "shop", url=URL)
        job = Job(new_id("job"), "shop", JobRequest(), photo.id, "http://here")
        return self.jobs.accept(job, photo).job_id

    def uploaded(self, open_ms: int) -> Input:
        """A photo that its caller has put to a signed address, good for so long."""
        photo = Input(new_id("inp"), "shop", stored=True, bytes=5)
        self.jobs.note_input(photo.id, "shop", expiry_ms=2 * open_ms, open_ms=open_ms)
        self.storage.put(keys.input_key("shop", photo.id), b"photo", "")
        return photo

    def reclaim(self, claim: Claim) -> None:
        """Take a job from its worker, which may be only slow."""
        self.make_due(claim.job.id)
        self.upkeep.overdue()

    def erase(self, job_id: str) -> Erased:
        """As `DELETE /v1/jobs/{id}` does it."""
        erased = self.records.erase(job_id, "shop")
        assert erased is not None
        self.storage.delete([file for name in erased.files for file in keys.files_of(name)])
        if erased.settled:
            self.jobs.swept(*erased.files)
        return erased

    def store_late(self, claim: Claim) -> None:
        """Its worker, long not its any more, stores the photo that it fetched, and a result."""
        self.storage.put(keys.input_key("shop", claim.photo.id), b"photo", "")
        key = keys.attempt_key("shop", claim.job.id, claim.job.claims, keys.RESULT)
        self.storage.put(key, b"result", "")

    def let_linger_pass(self) -> None:
        for name in self.noted():
            self.redis.zadd(redis_keys.SWEEP.key(), {name: 0})
        while self.sweeper.clear():
            pass

    def require_nothing_left(self) -> None:
        """Nothing in storage, and nothing in Redis."""
        self.let_linger_pass()
        assert self.storage.objects == {}
        assert self.redis.keys(redis_keys.EVERY_KEY) == []


@pytest.fixture
def ground(each_connection: Connection) -> Ground:
    return Ground(each_connection)


def test_a_job_that_was_canceled_while_it_was_worked_on(ground: Ground) -> None:
    claim = ground.claim(ground.accept_on())
    ground.jobs.cancel(claim.job.id, "shop")
    assert not ground.erase(claim.job.id).settled
    assert all(at - ground.now() > 500_000 for at in ground.noted().values())
    ground.store_late(claim)
    ground.require_nothing_left()


def test_a_reclaimed_job_erased_while_it_was_queued(ground: Ground) -> None:
    claim = ground.claim(ground.accept_on())
    ground.reclaim(claim)
    assert not ground.erase(claim.job.id).settled
    ground.store_late(claim)
    ground.require_nothing_left()


@pytest.mark.parametrize("end", [Status.SUCCEEDED, Status.FAILED])
def test_a_job_that_another_worker_finished(ground: Ground, end: Status) -> None:
    late = ground.claim(ground.accept_on())
    ground.reclaim(late)
    ground.store_late(late)  # its result once before the erase, and once after
    ground.leases.finish(ground.claim(late.job.id), end, DONE if end == "succeeded" else FAILED)
    assert not ground.erase(late.job.id).settled
    assert ground.storage.objects == {}
    ground.store_late(late)
    ground.require_nothing_left()


def test_a_job_that_was_archived_meanwhile(ground: Ground) -> None:
    late = ground.claim(ground.accept_on())
    ground.reclaim(late)
    ground.leases.finish(ground.claim(late.job.id), Status.SUCCEEDED, DONE)
    assert ground.records.archive(late.job.id)
    assert not ground.erase(late.job.id).settled
    ground.store_late(late)
    ground.require_nothing_left()


def test_a_shared_photo_whose_late_worker_was_another_jobs(ground: Ground) -> None:
    late = ground.claim(ground.accept_on())
    other = ground.accept_on(late.photo)
    ground.jobs.cancel(late.job.id, "shop")
    assert ground.erase(late.job.id).files == (f"shop/jobs/{late.job.id}/1/",)
    assert not ground.erase(other).settled  # which nobody ever claimed
    ground.store_late(late)
    ground.require_nothing_left()


def test_a_shared_photo_is_kept_for_those_who_still_use_it(ground: Ground) -> None:
    late = ground.claim(ground.accept_on())
    other = ground.accept_on(late.photo)
    ground.jobs.cancel(late.job.id, "shop")
    ground.erase(late.job.id)
    ground.store_late(late)
    ground.let_linger_pass()
    assert list(ground.storage.objects) == [keys.input_key("shop", late.photo.id)]
    ground.redis.hset(redis_keys.INPUT.key(late.photo.id), "lingers", 1)  # as long as it is past
    assert ground.erase(other).settled
    ground.require_nothing_left()


@pytest.mark.parametrize("claimed", [True, False])
def test_an_archive_that_is_erased_twice(ground: Ground, claimed: bool) -> None:
    """Who erases it again, its archive not yet deleted, must not take its notes away."""
    late = ground.claim(ground.accept_on())
    other = ground.accept_on(late.photo)
    if claimed:
        ground.leases.finish(ground.claim(other), Status.SUCCEEDED, DONE)
    ground.jobs.cancel(other, "shop")
    ground.records.archive(other)
    ground.jobs.cancel(late.job.id, "shop")
    ground.erase(late.job.id)
    archive = dict(ground.storage.objects)
    assert not ground.erase(other).settled
    ground.storage.objects.update(archive)
    assert not ground.erase(other).settled
    ground.store_late(late)
    ground.require_nothing_left()


def test_a_job_that_runs_for_longer_than_files_are_kept(ground: Ground) -> None:
    claim = ground.claim(ground.accept_on())
    ground.let_linger_pass()
    assert ground.noted() == {}
    assert not ground.erase(claim.job.id).settled
    ground.store_late(claim)
    ground.require_nothing_left()


def test_a_job_that_is_being_archived_by_a_sweeper_that_dies(ground: Ground) -> None:
    job = ground.done()
    ground.make_past(job.id)
    (past,) = ground.upkeep.past()
    assert not ground.erase(past.job_id).settled
    ground.storage.put(keys.archive_key("shop", job.id), b"{}", "")  # and here it is killed
    ground.require_nothing_left()


@pytest.mark.parametrize("end", ["succeeded", "canceled while queued"])
def test_where_nobody_can_store_any_more_nothing_is_left_at_once(ground: Ground, end: str) -> None:
    job_id = ground.accept_on()
    if end == "succeeded":
        claim = ground.claim(job_id)
        ground.store_late(claim)
        ground.leases.finish(claim, Status.SUCCEEDED, DONE)
    else:
        ground.jobs.cancel(job_id, "shop")
    assert ground.erase(job_id).settled
    assert ground.storage.objects == {}
    assert ground.redis.keys(redis_keys.EVERY_KEY) == []


def test_a_photo_that_is_put_to_its_address_again(ground: Ground) -> None:
    """It is swept when the address has ended, and whoever was still putting it has given up."""
    upload = ground.uploaded(3_600_000)
    assert not ground.erase(ground.accept_on(upload)).settled
    assert ground.storage.objects == {}
    photo = keys.input_key("shop", upload.id)
    ground.storage.put(photo, b"photo", "")
    assert 3_600_000 < ground.noted()[photo] - ground.now() <= 3_600_000 + LINGER_MS
    ground.require_nothing_left()


@pytest.mark.parametrize(("open_ms", "swept_ms"), [(3_600_000, 3_600_000), (1_000, LINGER_MS)])
def test_the_latest_of_a_shared_photos_dates_counts(
    ground: Ground, open_ms: int, swept_ms: int
) -> None:
    photo = ground.uploaded(open_ms)
    job_id = ground.accept_on(photo)
    late = ground.claim(ground.accept_on(photo))
    ground.jobs.cancel(late.job.id, "shop")
    ground.erase(late.job.id)
    assert not ground.erase(job_id).settled
    ground.store_late(late)
    swept = ground.noted()[keys.input_key("shop", photo.id)]
    assert swept_ms < swept - ground.now() <= swept_ms + LINGER_MS
    ground.require_nothing_left()


def test_an_address_that_has_ended_leaves_nothing_to_wait_for(ground: Ground) -> None:
    assert ground.erase(ground.accept_on(ground.uploaded(0))).settled
    assert ground.redis.keys(redis_keys.EVERY_KEY) == []


class TestRecordInput:
    def test_a_photo_is_known_once_it_is_stored(self, ground: Ground) -> None:
        claim = ground.claim(ground.accept_on())
        assert ground.leases.record_input(claim.photo.id, digest="d" * 64, size=3, pixels=4)
        photo = ground.jobs.input(claim.photo.id, "shop")
        assert photo == Input(claim.photo.id, "shop", URL, True, "d" * 64, 3, 4)

    def test_an_erased_one_does_not_come_back(self, ground: Ground) -> None:
        claim = ground.claim(ground.accept_on())
        ground.erase(claim.job.id)
        assert not ground.leases.record_input(claim.photo.id, digest="d" * 64, size=3, pixels=4)
        ground.require_nothing_left()

    def test_not_even_one_that_is_erased_at_that_moment(self, ground: Ground) -> None:
        for _ in range(20):
            claim, recorded, erased = ground.claim(ground.accept_on()), Event(), Event()
            arguments = (ground, claim, recorded, erased)
            thread = threading.Thread(target=_record_on, args=arguments)
            thread.start()
            try:
                assert recorded.wait(10)
                ground.erase(claim.job.id)
            finally:
                erased.set()
                thread.join()
        assert ground.redis.keys(redis_keys.INPUT.glob) == []


def _record_on(ground: Ground, claim: Claim, recorded: Event, erased: Event) -> None:
    while not erased.is_set():
        ground.leases.record_input(claim.photo.id, digest="d" * 64, size=3, pixels=4)
        recorded.set()
