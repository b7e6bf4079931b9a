"""Jobs that kill their worker: quarantine, attempts, and failure as poisoned."""

from __future__ import annotations

import hashlib
from typing import BinaryIO

import pytest

from shared.job import Failure, Lane, Status
from shared.queue import keys as redis_keys
from shared.queue.connection import Connection
from shared.queue.upkeep import Upkeep
from shared.storage import keys
from shared.testing import MemoryStorage
from tests.unit.test_in_flight import until
from tests.unit.test_metrics import working
from tests.unit.test_queue import FAILED, RETENTION_MS, House
from worker.engine import InFlightLimit
from worker.job import pipeline

POISONED = Failure(code="poisoned", message="The job's worker died on every attempt.")


@pytest.fixture
def house(each_connection: Connection) -> House:
    return House(each_connection)


def die(house: House, *job_ids: str, alone: bool = False) -> None:
    """Claim these, and let their process die: their leases run out."""
    for job_id in job_ids:
        assert house.leases.claim(job_id, alone=alone) is not None
    for job_id in job_ids:
        house.make_due(job_id)
    house.upkeep.overdue()


@pytest.mark.parametrize(
    ("max_attempts", "deaths"),
    [
        # Two deaths may be a neighbour's fault; the later ones are the job's own.
        (3, ["retried", "quarantined", "failed"]),
        (4, ["retried", "quarantined", "quarantined", "failed"]),
        (5, ["retried", "quarantined", "quarantined", "quarantined", "failed"]),
        # However few attempts there are, a job fails only after a death that it met alone.
        (2, ["quarantined", "failed"]),
        (1, ["quarantined", "failed"]),
    ],
)
def test_what_follows_each_death_of_the_worker(
    house: House, max_attempts: int, deaths: list[str]
) -> None:
    house.upkeep = Upkeep(house.connection, max_attempts=max_attempts, retention_ms=RETENTION_MS)
    job_id = house.accept()
    for follows in deaths:
        die(house, job_id, alone=True)
        failed = house.status(job_id) is Status.FAILED
        assert failed or house.status(job_id) is Status.QUEUED
        assert failed == (follows == "failed")
        if not failed:
            quarantined = bool(house.redis.hexists(redis_keys.JOB.key(job_id), "quarantined"))
            assert quarantined == (follows == "quarantined")
    job = house.jobs.get(job_id)
    assert job.outcome is not None
    assert job.outcome.error == POISONED
    assert job.attempts == len(deaths)  # all of them were its own


def test_a_death_that_may_be_a_neighbours_costs_no_attempt(house: House) -> None:
    guilty, neighbour = house.accept(), house.accept()
    die(house, guilty, neighbour)
    die(house, guilty, neighbour)
    assert [house.jobs.get(job_id).attempts for job_id in (guilty, neighbour)] == [0, 0]
    die(house, guilty, alone=True)
    assert house.status(guilty) is Status.FAILED
    assert house.leases.claim(neighbour, alone=True) is not None
    assert house.jobs.get(neighbour).attempts == 1


def test_a_neighbour_keeps_all_its_attempts_for_its_own_errors(house: House) -> None:
    neighbour = house.accept()
    die(house, neighbour)
    die(house, neighbour)
    claim = house.leases.claim(neighbour, alone=True)
    assert claim is not None
    assert claim.job.attempts == 1
    house.leases.release(claim, delay_ms=0)
    assert house.jobs.get(neighbour).attempts == 1


def weighed(house: House, job_id: str) -> tuple[Lane, bool]:
    load = house.leases.weigh(job_id)
    assert load is not None
    return load.lane, load.alone


def test_after_two_deaths_only_a_worker_with_nothing_else_gets_it(house: House) -> None:
    job_id = house.accept()
    die(house, job_id)
    assert weighed(house, job_id) == (Lane.RECLAIMED, False)
    die(house, job_id)
    assert weighed(house, job_id) == (Lane.RECLAIMED, True)
    assert house.leases.claim(job_id) is None
    assert house.status(job_id) is Status.QUEUED
    claim = house.leases.claim(job_id, alone=True)
    assert claim is not None
    assert house.leases.finish(claim, Status.FAILED, FAILED)


def test_a_hand_back_is_no_death(house: House) -> None:
    job_id = house.accept()
    for _ in range(5):
        house.leases.release(house.claim(job_id), spend=False)
    assert weighed(house, job_id) == (Lane.RECLAIMED, False)
    assert house.jobs.get(job_id).attempts == 0


class Watching(MemoryStorage):
    """Notes how many pixels are in hand at each call of a job's way."""

    def __init__(self) -> None:
        super().__init__()
        self.pixels: InFlightLimit | None = None
        self.held: list[int] = []

    def put(self, key: str, data: bytes | BinaryIO, content_type: str) -> None:
        if self.pixels is not None:
            self.held.append(self.pixels.held)
        super().put(key, data, content_type)


@pytest.mark.parametrize("deaths", [0, 2])
def test_a_worker_has_nothing_else_in_hand_while_it_runs_one(
    house: House, sample: bytes, deaths: int
) -> None:
    job_id = house.accept()
    for _ in range(deaths):
        die(house, job_id)
    storage = Watching()
    photo_id = house.jobs.get(job_id).input_id
    storage.put(keys.input_key("shop", photo_id), sample, "")
    digest = hashlib.sha256(sample).hexdigest()
    house.connection.redis.hset(redis_keys.INPUT.key(photo_id), "digest", digest)
    runtime = working(house.connection, storage)
    storage.pixels = runtime.pixels_in_flight
    with runtime.pixels_in_flight.holding(1):  # a neighbour's
        pipeline.process(runtime, job_id)
        waited = house.status(job_id) is Status.QUEUED
    until(lambda: house.status(job_id) is Status.SUCCEEDED)
    until(lambda: runtime.pixels_in_flight.held == 0)
    photo, everything = 600 * 400, runtime.pixels_in_flight.limit
    assert waited == (deaths == 2)
    if deaths == 2:
        assert set(storage.held) == {everything}
    else:
        assert set(storage.held) <= {photo, photo + 1}
