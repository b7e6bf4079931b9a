"""`DELETE` of a running job also removes what its worker stores afterwards."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from shared.job import Job
from shared.queue import keys as redis_keys
from shared.queue.connection import Connection
from shared.queue.jobs import JobQueue
from shared.queue.leases import LeaseTable
from shared.queue.upkeep import Upkeep
from shared.storage import keys
from shared.testing import MemoryStorage
from tests.api.conftest import Client, accepted, claimed, noted

Loss = Callable[[str], None]


@pytest.fixture(params=["canceled", "reclaimed"])
def lose(request: pytest.FixtureRequest, client: Client, connection: Connection) -> Loss:
    """Take the job from its worker, by canceling it or by letting its lease expire."""

    def cancel(job_id: str) -> None:
        assert client.post(f"/v1/jobs/{job_id}/cancel").status_code == 200

    def reclaim(job_id: str) -> None:
        connection.redis.zadd(redis_keys.LEASED.key(), {job_id: 0})
        assert Upkeep(connection, max_attempts=3, retention_ms=60_000).overdue().rings

    return cancel if request.param == "canceled" else reclaim


@pytest.fixture
def job(client: Client, jobs: JobQueue, leases: LeaseTable) -> Job:
    """A job by URL that a worker is running."""
    job_id = accepted(client.post("/v1/jobs", json={"url": "https://example.com/photo.jpg"}))
    claimed(leases, job_id)
    return jobs.get(job_id)


@pytest.mark.usefixtures("nothing_left_once_swept")
def test_a_photo_stored_after_the_delete_is_removed(
    client: Client, storage: MemoryStorage, connection: Connection, job: Job, lose: Loss
) -> None:
    lose(job.id)
    assert client.delete(f"/v1/jobs/{job.id}").status_code == 204
    photo = keys.input_key("default", job.input_id)
    storage.put(photo, b"fetched too late", "")
    assert set(noted(connection)) == {photo, f"default/jobs/{job.id}/1/"}


@pytest.mark.usefixtures("nothing_left_once_swept")
def test_a_result_stored_after_the_delete_is_removed(
    client: Client, storage: MemoryStorage, job: Job, lose: Loss
) -> None:
    lose(job.id)
    assert client.delete(f"/v1/jobs/{job.id}").status_code == 204
    for name in keys.ATTEMPT_FILES:
        storage.put(keys.attempt_key("default", job.id, 1, name), b"too late", "")
