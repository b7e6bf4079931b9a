"""The storage timeout: it limits each outage, not the sum of all outages of a job."""

from __future__ import annotations

import pytest

from shared.job import Status
from shared.queue import keys as redis_keys
from shared.queue.connection import Connection
from shared.queue.leases import Claim, Released
from tests.unit.test_queue import DONE, FAILED, House

PATIENCE_MS = 60_000


class Outages(House):
    """The queue, with jobs released because storage is down."""

    def fail(self, claim: Claim, delay_ms: int = 1) -> Released:
        """Release the job because storage is down; it fails after PATIENCE_MS."""
        return self.leases.release(
            claim, delay_ms=delay_ms, spend=False, patience_ms=PATIENCE_MS, impatient=FAILED
        )

    def claim_again(self, job_id: str) -> Claim:
        self.redis.hdel(redis_keys.JOB.key(job_id), "not_before")
        return self.claim(job_id)

    def let_pass(self, job_id: str, ms: int) -> None:
        """Move the start of the job's outage this much into the past."""
        assert self.redis.hexists(redis_keys.JOB.key(job_id), "outage_since")
        self.redis.hincrby(redis_keys.JOB.key(job_id), "outage_since", -ms)

    def succeed(self) -> None:
        """Let another job store its result."""
        self.leases.finish(self.claim(self.accept()), Status.SUCCEEDED, DONE)


@pytest.fixture
def house(each_connection: Connection) -> Outages:
    return Outages(each_connection)


def test_a_job_fails_when_the_outage_outlasts_the_timeout(house: Outages) -> None:
    job_id = house.accept()
    assert not house.fail(house.claim(job_id)).failed
    for _ in range(2):
        house.let_pass(job_id, PATIENCE_MS // 2 - 1_000)
        assert not house.fail(house.claim_again(job_id)).failed
    house.let_pass(job_id, 2_000)
    assert house.fail(house.claim_again(job_id)).failed
    assert house.jobs.get(job_id).outcome == FAILED


def test_a_success_before_the_outage_does_not_end_it(house: Outages) -> None:
    other = house.accept()
    house.fail(house.claim(other))
    house.succeed()
    job_id = house.accept()
    house.fail(house.claim(job_id))
    house.let_pass(job_id, PATIENCE_MS)
    assert house.fail(house.claim_again(job_id)).failed


def test_two_errors_with_a_success_between_are_not_one_outage(house: Outages) -> None:
    job_id = house.accept()
    house.fail(house.claim(job_id))
    house.let_pass(job_id, 2 * PATIENCE_MS)  # in a long lane, behind jobs that succeed
    house.succeed()
    assert not house.fail(house.claim_again(job_id)).failed
    assert house.status(job_id) is Status.QUEUED


def test_each_outage_gets_the_full_timeout(house: Outages) -> None:
    job_id = house.accept()
    house.fail(house.claim(job_id))
    house.let_pass(job_id, PATIENCE_MS - 1_000)
    house.succeed()
    house.fail(house.claim_again(job_id))
    house.let_pass(job_id, PATIENCE_MS - 1_000)
    assert not house.fail(house.claim_again(job_id)).failed
    house.let_pass(job_id, 1_000)
    assert house.fail(house.claim_again(job_id)).failed


@pytest.mark.parametrize("end", ["failed", "canceled"])
def test_a_failed_or_canceled_job_does_not_end_the_outage(house: Outages, end: str) -> None:
    job_id, other = house.accept(), house.accept()
    house.fail(house.claim(job_id))
    house.let_pass(job_id, PATIENCE_MS)
    if end == "failed":
        house.leases.finish(house.claim(other), Status.FAILED, FAILED)
    else:
        house.jobs.cancel(other, "shop")
    assert house.fail(house.claim_again(job_id)).failed


def test_a_job_whose_own_files_keep_failing_ends(house: Outages) -> None:
    job_id, failed = house.accept(), []
    for _ in range(5):
        house.succeed()
        released = house.fail(house.claim_again(job_id), delay_ms=PATIENCE_MS // 4)
        failed.append(released.failed)
    assert failed == [False, False, False, False, True]


def test_the_success_key_exists_only_after_an_outage(house: Outages) -> None:
    house.succeed()
    assert not house.redis.exists(redis_keys.STORED.key())
    house.fail(house.claim(house.accept()))
    house.succeed()
    assert 0 < house.redis.pttl(redis_keys.STORED.key()) <= 60_000
