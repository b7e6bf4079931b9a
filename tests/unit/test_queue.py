"""The job life as Redis keeps it, on each version of Redis that we promise to work with."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from shared.errors import IdempotencyMismatch, NotFound
from shared.job import TRANSITIONS, Failure, Input, Job, Lane, Outcome, Result, Status, new_id
from shared.queue import keys as redis_keys
from shared.queue.answers import CancelAnswer, Idempotency
from shared.queue.connection import Connection
from shared.queue.deliveries import DeliveryQueue
from shared.queue.jobs import JobQueue
from shared.queue.leases import Claim, LeaseTable
from shared.queue.upkeep import Past, Upkeep
from shared.schema import JobRequest, Priority, Webhook

RETENTION_MS = 60_000
DONE = Outcome(
    model="grabcut",
    result=Result(content_type="image/png", width=1, height=1, bytes=1, sha256="0" * 64),
)
FAILED = Outcome(error=Failure(code="subject_not_found", message="nothing there"))
#: Where the janitor looks.
QUEUED_OR_LEASED = (redis_keys.DUE, redis_keys.LEASED)


class House:
    """The queue from every side, on one Redis."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.redis = connection.redis
        self.jobs = JobQueue(connection, retention_ms=RETENTION_MS)
        self.leases = self.worker("one")
        self.upkeep = Upkeep(connection, max_attempts=3, retention_ms=RETENTION_MS)
        self.deliveries = DeliveryQueue(connection, retention_ms=RETENTION_MS)

    def worker(self, name: str, lease_ms: int = 30_000, record_ms: int | None = None) -> LeaseTable:
        return LeaseTable(
            self.connection,
            worker=name,
            lease_ms=lease_ms,
            retention_ms=RETENTION_MS,
            record_ms=record_ms,
        )

    def accept(
        self, *, tenant: str = "shop", idempotency: Idempotency | None = None, **request: Any
    ) -> str:
        """Accept a job whose photo is stored."""
        photo = Input(new_id("inp"), tenant, stored=True, digest="d" * 64, bytes=3)
        self.jobs.note_input(photo.id, tenant, expiry_ms=60_000)
        job = Job(new_id("job"), tenant, JobRequest(**request), photo.id, "http://here")
        return self.jobs.accept(job, photo, idempotency).job_id

    def claim(self, job_id: str, leases: LeaseTable | None = None) -> Claim:
        claim = (leases or self.leases).claim(job_id)
        assert claim is not None
        return claim

    def status(self, job_id: str) -> Status:
        return self.jobs.get(job_id).status

    def due(self, job_id: str) -> float | None:
        """When the janitor looks at the job, in ms: of one being processed, its lease's end."""
        due, leased = (self.redis.zscore(family.key(), job_id) for family in QUEUED_OR_LEASED)
        assert due is None or leased is None
        score: float | None = due if leased is None else leased
        return score

    def make_due(self, job_id: str) -> None:
        """Let the time at which the job is looked at again be past."""
        assert any(
            self.redis.zadd(family.key(), {job_id: 0}, xx=True, ch=True)
            for family in QUEUED_OR_LEASED
        )

    def now(self) -> float:
        seconds, micros = self.redis.time()
        return float(seconds * 1000 + micros // 1000)

    def noted(self) -> dict[str, float]:
        """The storage keys noted for sweeping, and when."""
        return dict(self.redis.zrange(redis_keys.SWEEP.key(), 0, -1, withscores=True))


@pytest.fixture
def house(each_connection: Connection) -> House:
    return House(each_connection)


class TestAccept:
    def test_a_job_is_queued_counted_and_due_soon(self, house: House) -> None:
        job_id = house.accept()
        job = house.jobs.get(job_id)
        assert (job.status, job.lane, job.attempts) == (Status.QUEUED, Lane.INTERACTIVE, 0)
        assert house.jobs.position(job) == 1
        due = house.due(job_id)
        assert due is not None
        assert 0 < due - house.now() <= 2_000

    def test_the_photo_is_no_longer_swept(self, house: House) -> None:
        house.accept()
        assert house.noted() == {}

    @pytest.mark.parametrize(
        ("request_fields", "lane"),
        [
            ({}, Lane.INTERACTIVE),
            ({"priority": Priority.BULK}, Lane.BULK),
            ({"render": "job_" + "0" * 24}, Lane.RENDER),
        ],
    )
    def test_the_lane_follows_the_request(
        self, house: House, request_fields: dict[str, Any], lane: Lane
    ) -> None:
        assert house.jobs.get(house.accept(**request_fields)).lane is lane

    def test_an_idempotency_key_makes_one_job(self, house: House) -> None:
        first = house.accept(idempotency=Idempotency("k", "f"))
        assert house.accept(idempotency=Idempotency("k", "f")) == first
        assert len(house.jobs.page("shop", limit=10).jobs) == 1

    def test_an_idempotency_key_with_another_request_is_refused(self, house: House) -> None:
        house.accept(idempotency=Idempotency("k", "f"))
        with pytest.raises(IdempotencyMismatch):
            house.accept(idempotency=Idempotency("k", "other"))

    def test_an_idempotency_key_is_a_tenants_own(self, house: House) -> None:
        first = house.accept(idempotency=Idempotency("k", "f"))
        assert house.accept(tenant="other", idempotency=Idempotency("k", "x")) != first

    def test_another_tenants_photo_is_not_to_be_had(self, house: House) -> None:
        photo = Input(new_id("inp"), "other", stored=True)
        house.jobs.note_input(photo.id, "other", expiry_ms=60_000)
        job = Job(new_id("job"), "shop", JobRequest(), photo.id, "http://here")
        with pytest.raises(NotFound):
            house.jobs.accept(job, photo)

    def test_position_counts_those_before(self, house: House) -> None:
        ids = [house.accept() for _ in range(3)]
        assert [house.jobs.position(house.jobs.get(job_id)) for job_id in ids] == [1, 2, 3]
        house.claim(ids[0])
        assert house.jobs.position(house.jobs.get(ids[2])) == 2


class TestClaim:
    def test_a_claim_starts_the_job_under_a_lease(self, house: House) -> None:
        claim = house.claim(house.accept())
        assert (claim.job.status, claim.job.attempts, claim.job.claims) == (
            Status.PROCESSING,
            1,
            1,
        )
        due = house.due(claim.job.id)
        assert due is not None
        assert 29_000 < due - house.now() <= 30_000

    def test_a_doubled_doorbell_finds_nothing(self, house: House) -> None:
        job_id = house.accept()
        house.claim(job_id)
        assert house.leases.claim(job_id) is None

    def test_one_of_many_simultaneous_claims_wins(self, house: House) -> None:
        job_id = house.accept()
        won: list[Claim | None] = []
        threads = [
            threading.Thread(target=lambda: won.append(house.leases.claim(job_id)))
            for _ in range(16)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(claim is not None for claim in won) == 1

    def test_what_it_will_store_is_noted_first(self, house: House) -> None:
        claim = house.claim(house.accept())
        assert list(house.noted()) == [f"shop/jobs/{claim.job.id}/1/"]

    def test_an_unknown_job_is_not_claimed(self, house: House) -> None:
        assert house.leases.claim(new_id("job")) is None


class TestHeartbeat:
    def test_renewing_moves_the_end_of_the_lease(self, house: House) -> None:
        claim = house.claim(house.accept(), house.worker("brief", lease_ms=1_000))
        assert house.leases.renew([claim]) == frozenset()
        due = house.due(claim.job.id)
        assert due is not None
        assert due - house.now() > 20_000

    def test_a_lost_lease_is_named_and_not_renewed(self, house: House) -> None:
        claim = house.claim(house.accept())
        house.make_due(claim.job.id)
        house.upkeep.overdue()
        assert house.leases.renew([claim]) == {claim.job.id}
        assert house.leases.lost([claim])


class TestFinish:
    def test_the_job_succeeds_and_is_due_no_more(self, house: House) -> None:
        claim = house.claim(house.accept())
        assert house.leases.finish(claim, Status.SUCCEEDED, DONE)
        job = house.jobs.get(claim.job.id)
        assert (job.status, job.outcome) == (Status.SUCCEEDED, DONE)
        assert job.finished_ms is not None
        assert house.due(job.id) is None

    def test_its_files_are_kept(self, house: House) -> None:
        house.leases.finish(house.claim(house.accept()), Status.SUCCEEDED, DONE)
        assert house.noted() == {}

    def test_a_failed_jobs_files_are_swept(self, house: House) -> None:
        claim = house.claim(house.accept())
        house.leases.finish(claim, Status.FAILED, FAILED)
        assert list(house.noted()) == [f"shop/jobs/{claim.job.id}/1/"]

    def test_finish_is_idempotent_for_its_own_worker(self, house: House) -> None:
        claim = house.claim(house.accept())
        for _ in range(2):
            assert house.leases.finish(claim, Status.SUCCEEDED, DONE)
        assert not house.leases.finish(claim, Status.FAILED, DONE)
        assert house.jobs.get(claim.job.id).status is Status.SUCCEEDED

    def test_a_late_finisher_changes_nothing(self, house: House) -> None:
        late = house.claim(house.accept())
        house.make_due(late.job.id)
        house.upkeep.overdue()
        winner = house.claim(late.job.id)
        assert not house.leases.finish(late, Status.FAILED, FAILED)
        assert house.leases.finish(winner, Status.SUCCEEDED, DONE)
        assert not house.leases.finish(late, Status.FAILED, FAILED)
        assert house.status(late.job.id) is Status.SUCCEEDED
        assert (late.job.claims, winner.job.claims) == (1, 2)  # so their files never meet

    def test_those_who_wait_are_told(self, house: House) -> None:
        claim = house.claim(house.accept())
        with house.redis.pubsub(ignore_subscribe_messages=True) as channel:
            channel.subscribe(redis_keys.FINISHED.key())
            channel.get_message(timeout=1)
            house.leases.finish(claim, Status.SUCCEEDED, DONE)
            message = channel.get_message(timeout=2)
        assert message["data"] == claim.job.id


class TestRelease:
    def test_a_retry_waits_and_spends_its_attempt(self, house: House) -> None:
        claim = house.claim(house.accept())
        released = house.leases.release(claim, delay_ms=5_000)
        assert released.lane is Lane.INTERACTIVE
        assert house.jobs.get(claim.job.id).attempts == 1
        assert house.leases.claim(claim.job.id) is None  # its doorbell came too early

    def test_a_hand_back_is_served_first_and_spends_nothing(self, house: House) -> None:
        claim = house.claim(house.accept())
        assert house.leases.release(claim, spend=False).lane is Lane.RECLAIMED
        again = house.claim(claim.job.id)
        assert (again.job.attempts, again.job.claims) == (1, 2)

    def test_patience_runs_out(self, house: House) -> None:
        claim = house.claim(house.accept())
        kept = house.leases.release(claim, spend=False, patience_ms=60_000, impatient=FAILED)
        assert not kept.failed
        house.redis.hset(redis_keys.JOB.key(claim.job.id), "outage_since", 1)
        claim = house.claim(claim.job.id)
        ended = house.leases.release(claim, spend=False, patience_ms=60_000, impatient=FAILED)
        assert ended.failed
        job = house.jobs.get(claim.job.id)
        assert (job.status, job.outcome) == (Status.FAILED, FAILED)

    def test_a_lost_lease_releases_nothing(self, house: House) -> None:
        claim = house.claim(house.accept())
        house.jobs.cancel(claim.job.id, "shop")
        assert house.leases.release(claim).lane is None
        assert house.status(claim.job.id) is Status.CANCELED


class TestJanitor:
    def test_a_forgotten_job_is_rung_again_with_growing_spacing(self, house: House) -> None:
        job_id = house.accept()
        spacings = []
        for _ in range(4):
            house.make_due(job_id)
            assert house.upkeep.overdue().rings == ((job_id, Lane.INTERACTIVE),)
            due = house.due(job_id)
            assert due is not None
            spacings.append(round((due - house.now()) / 1000))
        assert spacings == [4, 8, 16, 30]

    @pytest.mark.parametrize("end", ["dead", "leaving"])
    def test_a_reclaimed_one_sooner_and_oftener(self, house: House, end: str) -> None:
        claim = house.claim(house.accept())
        job_id = claim.job.id
        if end == "leaving":
            house.leases.release(claim, spend=False)
        else:
            house.make_due(job_id)
            assert house.upkeep.overdue().rings == ((job_id, Lane.RECLAIMED),)
        spacings = []
        for _ in range(5):
            due = house.due(job_id)
            assert due is not None
            spacings.append(round((due - house.now()) / 1000))
            house.make_due(job_id)
            assert house.upkeep.overdue().rings == ((job_id, Lane.RECLAIMED),)
        assert spacings == [1, 1, 2, 3, 4]

    def test_a_dead_workers_job_is_reclaimed_and_its_files_swept_later(self, house: House) -> None:
        claim = house.claim(house.accept())
        house.make_due(claim.job.id)
        assert house.upkeep.overdue().rings == ((claim.job.id, Lane.RECLAIMED),)
        job = house.jobs.get(claim.job.id)
        assert (job.status, job.lane, job.attempts) == (Status.QUEUED, Lane.RECLAIMED, 0)
        swept_at = house.noted()[f"shop/jobs/{job.id}/1/"]
        assert 500_000 < swept_at - house.now() <= 600_000

    def test_a_job_that_always_kills_its_worker_is_poisoned(self, house: House) -> None:
        job_id = house.accept()
        for _ in range(3):
            assert house.leases.claim(job_id, alone=True)
            house.make_due(job_id)
            overdue = house.upkeep.overdue()
        assert overdue.poisoned == (job_id,)
        assert house.jobs.get(job_id).attempts == 3
        outcome = house.jobs.get(job_id).outcome
        assert outcome is not None
        assert outcome.error is not None
        assert outcome.error.code == "poisoned"

    def test_two_janitors_at_once_are_harmless(self, house: House) -> None:
        claim = house.claim(house.accept())
        house.make_due(claim.job.id)
        rings: list[tuple[tuple[str, Lane], ...]] = []
        threads = [
            threading.Thread(target=lambda: rings.append(house.upkeep.overdue().rings))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(map(len, rings)) == 1

    def test_a_job_past_its_retention_is_named(self, house: House) -> None:
        claim = house.claim(house.accept())
        house.leases.finish(claim, Status.SUCCEEDED, DONE)
        assert house.upkeep.past() == []
        house.redis.zadd(redis_keys.EXPIRY.key(), {claim.job.id: 0})
        house.redis.hset(redis_keys.JOB.key(claim.job.id), "finished", 0)
        assert house.upkeep.past() == [Past(claim.job.id, erase=True)]

    def test_an_unused_photo_is_swept_until_it_is_gone(self, house: House) -> None:
        photo = new_id("inp")
        house.jobs.note_input(photo, "shop", expiry_ms=-1)
        name = f"shop/inputs/{photo}"
        assert house.upkeep.sweepable() == [name]
        assert name in house.noted()  # until the deletion is confirmed
        house.jobs.swept(name)
        assert house.noted() == {}

    def test_a_photo_in_use_is_never_swept(self, house: House) -> None:
        job = house.jobs.get(house.accept())
        name = f"shop/inputs/{job.input_id}"
        house.redis.zadd(redis_keys.SWEEP.key(), {name: 0})
        assert house.upkeep.sweepable() == []
        assert house.noted() == {}


class TestCancelAndErase:
    def test_a_queued_job_is_canceled(self, house: House) -> None:
        job_id = house.accept()
        assert house.jobs.cancel(job_id, "shop") is CancelAnswer.CANCELED
        assert house.status(job_id) is Status.CANCELED
        assert house.leases.claim(job_id) is None

    def test_a_running_job_is_taken_from_its_worker(self, house: House) -> None:
        claim = house.claim(house.accept())
        house.jobs.cancel(claim.job.id, "shop")
        assert house.leases.lost([claim])
        assert not house.leases.finish(claim, Status.SUCCEEDED, DONE)

    def test_another_tenants_job_is_not_there(self, house: House) -> None:
        job_id = house.accept()
        assert house.jobs.cancel(job_id, "other") is CancelAnswer.MISSING
        assert house.jobs.erase(job_id, "other") is None
        assert house.status(job_id) is Status.QUEUED

    def test_erasing_leaves_nothing_but_files_to_delete(self, house: House) -> None:
        claim = house.claim(house.accept(webhook=Webhook(url="http://x.example/")))
        house.leases.finish(claim, Status.SUCCEEDED, DONE)
        erased = house.jobs.erase(claim.job.id, "shop")
        assert erased is not None
        photo = f"shop/inputs/{claim.photo.id}"
        assert set(erased.files) == {f"shop/jobs/{claim.job.id}/1/", photo}
        assert erased.settled
        house.jobs.swept(*erased.files)
        assert house.redis.keys(redis_keys.EVERY_KEY) == []

    def test_erasing_a_running_job_sweeps_again_after_its_worker(self, house: House) -> None:
        claim = house.claim(house.accept())
        erased = house.jobs.erase(claim.job.id, "shop")
        assert erased is not None
        assert not erased.settled
        assert all(at - house.now() > 500_000 for at in house.noted().values())

    def test_a_shared_photo_outlives_the_first_of_its_jobs(self, house: House) -> None:
        first = house.jobs.get(house.accept())
        photo = house.jobs.input(first.input_id, "shop")
        second = Job(new_id("job"), "shop", JobRequest(), photo.id, "http://here")
        house.jobs.accept(second, photo)
        erased = house.jobs.erase(first.id, "shop")
        assert erased is not None
        assert erased.files == ()
        assert house.jobs.input(photo.id, "shop").stored


def test_every_legal_move_is_possible_and_no_other(house: House) -> None:
    def queued() -> str:
        return house.accept()

    def processing() -> str:
        return house.claim(queued()).job.id

    def ended(status: Status) -> str:
        claim = house.claim(queued())
        if status is Status.CANCELED:
            house.jobs.cancel(claim.job.id, "shop")
        else:
            house.leases.finish(claim, status, DONE)
        return claim.job.id

    def moves(job_id: str) -> set[Status]:
        """Where every script that exists can take a job in this state."""
        before, reached = house.redis.hgetall(redis_keys.JOB.key(job_id)), set()
        state = Status(before["status"])
        token = before.get("token", "none")
        claim = Claim(house.jobs.get(job_id), house.jobs.input(before["input"], "shop"), token)
        for move in (
            lambda: house.leases.claim(job_id),
            lambda: house.leases.finish(claim, Status.SUCCEEDED, DONE),
            lambda: house.leases.finish(claim, Status.FAILED, FAILED),
            lambda: house.leases.release(claim),
            lambda: house.jobs.cancel(job_id, "shop"),
            lambda: (
                house.redis.zadd(redis_keys.LEASED.key(), {job_id: 0}),
                house.upkeep.overdue(),
            ),
            lambda: (house.redis.zadd(redis_keys.DUE.key(), {job_id: 0}), house.upkeep.overdue()),
        ):
            move()
            reached.add(house.status(job_id))
            house.redis.delete(redis_keys.JOB.key(job_id))
            house.redis.hset(redis_keys.JOB.key(job_id), mapping=before)
        return reached - {state}

    assert moves(queued()) == TRANSITIONS[Status.QUEUED]
    assert moves(processing()) == TRANSITIONS[Status.PROCESSING]
    for status in (Status.SUCCEEDED, Status.FAILED, Status.CANCELED):
        assert moves(ended(status)) == TRANSITIONS[status] == frozenset()


def test_a_queued_job_takes_at_most_three_kibibytes(house: House) -> None:
    def used() -> int:
        return int(house.redis.info("memory")["used_memory_dataset"])

    before = used()
    for number in range(500):
        house.accept(idempotency=Idempotency(f"key-{number}", "f" * 64))
    assert (used() - before) / 500 < 3 * 1024 - 1026  # the message itself was measured at 1,026
