"""Canceling and deleting jobs."""

from __future__ import annotations

import pytest

from shared.queue import keys as redis_keys
from shared.queue.connection import Connection
from shared.queue.leases import LeaseTable
from shared.storage import keys
from shared.testing import MemoryStorage
from tests.api.asking import NOBODY, post
from tests.api.conftest import (
    Client,
    Finish,
    accepted,
    assert_problem,
    claimed,
    left,
    records,
    submit,
)


class TestCancel:
    def test_a_queued_job_is_canceled(
        self, client: Client, sample: bytes, leases: LeaseTable, connection: Connection
    ) -> None:
        job_id = accepted(submit(client, sample))
        response = client.post(f"/v1/jobs/{job_id}/cancel")
        assert response.status_code == 200
        assert response.json["status"] == "canceled"
        assert response.json["queue_position"] is None
        assert response.json["finished_at"] is not None
        assert leases.claim(job_id) is None
        assert connection.redis.zcard(redis_keys.LANE.key("interactive")) == 0

    def test_a_running_job_is_taken_from_its_worker(
        self, client: Client, sample: bytes, leases: LeaseTable
    ) -> None:
        job_id = accepted(submit(client, sample))
        claim = claimed(leases, job_id)
        response = client.post(f"/v1/jobs/{job_id}/cancel")
        assert response.json["status"] == "canceled"
        assert leases.lost([claim])

    def test_canceling_a_finished_job_changes_nothing(
        self, client: Client, sample: bytes, finish: Finish
    ) -> None:
        job_id = accepted(submit(client, sample))
        finish(job_id)
        response = client.post(f"/v1/jobs/{job_id}/cancel")
        assert response.status_code == 200
        assert response.json["status"] == "succeeded"

    def test_canceling_twice_has_no_further_effect(self, client: Client, sample: bytes) -> None:
        job_id = accepted(submit(client, sample))
        first, second = (client.post(f"/v1/jobs/{job_id}/cancel").json for _ in range(2))
        assert first == second

    @pytest.mark.usefixtures("nothing_left")
    def test_a_missing_job_is_not_found(self, client: Client) -> None:
        assert_problem(client.post(f"/v1/jobs/{NOBODY}/cancel"), 404, "not_found")

    def test_a_canceled_job_keeps_its_photo(
        self, client: Client, sample: bytes, storage: MemoryStorage
    ) -> None:
        job_id = accepted(submit(client, sample))
        client.post(f"/v1/jobs/{job_id}/cancel")
        assert list(left(storage).values()) == [sample]


class TestErase:
    @pytest.mark.usefixtures("nothing_left")
    def test_record_photo_and_files_are_deleted(
        self, client: Client, sample: bytes, finish: Finish
    ) -> None:
        job_id = accepted(submit(client, sample))
        finish(job_id)
        response = client.delete(f"/v1/jobs/{job_id}")
        assert response.status_code == 204
        assert response.data == b""

    @pytest.mark.usefixtures("nothing_left")
    def test_a_queued_job_is_erased(self, client: Client, sample: bytes) -> None:
        assert client.delete(f"/v1/jobs/{accepted(submit(client, sample))}").status_code == 204

    @pytest.mark.usefixtures("nothing_left")
    def test_erasing_a_job_with_a_webhook_sends_nothing(
        self, client: Client, sample: bytes, finish: Finish
    ) -> None:
        job = {"webhook": {"url": "https://example.com/hook"}}
        job_id = accepted(submit(client, sample, job=job))
        finish(job_id)
        assert client.delete(f"/v1/jobs/{job_id}").status_code == 204

    @pytest.mark.parametrize(
        ("method", "path"),
        [("GET", ""), ("GET", "/result"), ("GET", "/mask"), ("POST", "/cancel"), ("DELETE", "")],
    )
    def test_every_call_answers_404_afterwards(
        self, client: Client, sample: bytes, finish: Finish, method: str, path: str
    ) -> None:
        job_id = accepted(submit(client, sample))
        finish(job_id)
        client.delete(f"/v1/jobs/{job_id}")
        response = client.open(f"/v1/jobs/{job_id}{path}", method=method)
        assert_problem(response, 404, "not_found")

    def test_it_is_no_longer_listed(self, client: Client, sample: bytes) -> None:
        client.delete(f"/v1/jobs/{accepted(submit(client, sample))}")
        assert client.get("/v1/jobs").json["jobs"] == []

    def test_a_photo_that_another_job_uses_is_kept(
        self, client: Client, sample: bytes, finish: Finish, storage: MemoryStorage
    ) -> None:
        first = accepted(submit(client, sample))
        finish(first)
        second = accepted(post(client, job=first))
        assert client.delete(f"/v1/jobs/{first}").status_code == 204
        assert list(left(storage).values()) == [sample]
        finish(second)
        assert client.delete(f"/v1/jobs/{second}").status_code == 204
        assert left(storage) == {}

    @pytest.mark.usefixtures("nothing_left_once_swept")
    def test_files_a_running_worker_may_still_store_are_swept_later(
        self, client: Client, sample: bytes, leases: LeaseTable, storage: MemoryStorage
    ) -> None:
        job_id = accepted(submit(client, sample))
        claimed(leases, job_id)
        assert client.delete(f"/v1/jobs/{job_id}").status_code == 204
        storage.put(keys.attempt_key("default", job_id, 1, keys.RESULT), b"late", "")

    @pytest.mark.usefixtures("nothing_left_once_swept")
    def test_files_are_swept_later_if_storage_is_down(
        self, client: Client, sample: bytes, storage: MemoryStorage, connection: Connection
    ) -> None:
        job_id = accepted(submit(client, sample))
        storage.down = True
        assert client.delete(f"/v1/jobs/{job_id}").status_code == 204
        assert records(connection) == [redis_keys.SWEEP.key()]
        assert list(left(storage).values()) == [sample]
