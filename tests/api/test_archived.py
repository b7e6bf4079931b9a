"""Jobs whose records have expired from Redis: every call answers the same, from storage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from shared.queue import keys as redis_keys
from shared.queue.connection import Connection
from shared.queue.jobs import JobQueue
from shared.records import Records
from shared.testing import MemoryStorage
from tests.api.conftest import (
    OTHER,
    SHOP,
    Clear,
    Client,
    Finish,
    accepted,
    assert_problem,
    left,
    records,
    submit,
)

Archived = Callable[..., str]


@pytest.fixture
def archived(finish: Finish, jobs: JobQueue, storage: MemoryStorage) -> Archived:
    """Submit a photo, finish the job and archive its record; the job's id."""

    def do(client: Client, photo: bytes, **kwargs: Any) -> str:
        job_id = accepted(submit(client, photo, **kwargs))
        finish(job_id)
        assert Records(jobs, storage).archive(job_id)
        return job_id

    return do


def test_an_archived_job_looks_the_same(
    client: Client, sample: bytes, finish: Finish, jobs: JobQueue, storage: MemoryStorage
) -> None:
    job_id = accepted(submit(client, sample, job={"metadata": {"sku": "17"}}))
    finish(job_id)
    before = client.get(f"/v1/jobs/{job_id}").json
    Records(jobs, storage).archive(job_id)
    assert client.get(f"/v1/jobs/{job_id}").json == before
    assert client.get(f"/v1/jobs/{job_id}?wait=5").json == before
    assert client.post(f"/v1/jobs/{job_id}/cancel").json == before


def test_its_files_can_be_downloaded(client: Client, sample: bytes, archived: Archived) -> None:
    job_id = archived(client, sample)
    assert client.get(f"/v1/jobs/{job_id}/result").status_code == 200
    assert client.get(f"/v1/jobs/{job_id}/mask").status_code == 200


def test_it_is_no_longer_listed(client: Client, sample: bytes, archived: Archived) -> None:
    archived(client, sample)
    kept = accepted(submit(client, sample))
    assert [job["id"] for job in client.get("/v1/jobs").json["jobs"]] == [kept]


@pytest.mark.parametrize("source", ["job", "render", "mask"])
def test_other_jobs_can_refer_to_it(
    client: Client, sample: bytes, archived: Archived, jobs: JobQueue, source: str
) -> None:
    parent = archived(client, sample)
    body: dict[str, Any] = {source: parent}
    if source == "mask":
        body = {"job": parent, "prompt": {"mask": parent}}
    child = jobs.get(accepted(client.post("/v1/jobs", json=body)))
    photo = jobs.input(child.input_id, "default")
    assert photo.stored
    alpha = None if source == "job" else f"default/jobs/{parent}/1/alpha"
    assert child.parent_alpha == alpha


def test_its_mask_can_be_used_with_the_same_photo_uploaded_again(
    client: Client, sample: bytes, archived: Archived
) -> None:
    parent = archived(client, sample)
    accepted(submit(client, sample, job={"prompt": {"mask": parent}}))


def test_erasing_it_erases_everything(
    client: Client,
    sample: bytes,
    archived: Archived,
    connection: Connection,
    storage: MemoryStorage,
) -> None:
    job_id = archived(client, sample)
    assert client.delete(f"/v1/jobs/{job_id}").status_code == 204
    assert records(connection) == []
    assert left(storage) == {}
    assert_problem(client.get(f"/v1/jobs/{job_id}"), 404, "not_found")
    assert_problem(client.delete(f"/v1/jobs/{job_id}"), 404, "not_found")


def test_erasing_it_keeps_a_photo_that_another_job_uses(
    client: Client, sample: bytes, archived: Archived, storage: MemoryStorage, clear: Clear
) -> None:
    parent = archived(client, sample)
    accepted(client.post("/v1/jobs", json={"job": parent}))
    assert client.delete(f"/v1/jobs/{parent}").status_code == 204
    clear()
    assert list(left(storage).values()) == [sample]


def test_it_is_not_found_for_another_tenant(
    keyed: Client, sample: bytes, archived: Archived
) -> None:
    job_id = archived(keyed, sample, headers=SHOP)
    for method, path in [
        ("GET", ""),
        ("GET", "/result"),
        ("GET", "/mask"),
        ("POST", "/cancel"),
        ("DELETE", ""),
    ]:
        response = keyed.open(f"/v1/jobs/{job_id}{path}", method=method, headers=OTHER)
        assert_problem(response, 404, "not_found")
    for body in ({"job": job_id}, {"render": job_id}):
        assert_problem(keyed.post("/v1/jobs", json=body, headers=OTHER), 404, "not_found")
    assert keyed.get(f"/v1/jobs/{job_id}", headers=SHOP).status_code == 200


def test_a_storage_outage_is_503_not_404(
    client: Client, sample: bytes, archived: Archived, storage: MemoryStorage
) -> None:
    job_id = archived(client, sample)
    storage.down = True
    assert_problem(client.get(f"/v1/jobs/{job_id}"), 503, "storage_unavailable")
    assert_problem(client.delete(f"/v1/jobs/{job_id}"), 503, "storage_unavailable")


def test_its_idempotency_key_still_returns_it(
    client: Client, sample: bytes, archived: Archived, connection: Connection
) -> None:
    key = {"Idempotency-Key": "order-17"}
    job_id = archived(client, sample, headers=key)
    again = submit(client, sample, headers=key)
    assert again.json["id"] == job_id
    assert again.headers["Idempotent-Replayed"] == "true"
    assert connection.redis.keys(redis_keys.JOB.glob) == []
