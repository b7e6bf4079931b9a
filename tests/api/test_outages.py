"""Redis or the storage down, hanging or full."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Any, BinaryIO

import pytest

from shared.errors import StorageUnavailable
from shared.job import Outcome, Status
from shared.queue import keys as redis_keys
from shared.queue.connection import Connection
from shared.queue.leases import LeaseTable
from shared.testing import MemoryStorage, RedisProcess
from tests.api.asking import NOBODY, URL, post_body
from tests.api.conftest import (
    Client,
    Finish,
    MakeClient,
    accepted,
    assert_problem,
    claimed,
    meanwhile,
    noted,
    records,
    submit,
)


@pytest.fixture
def black_hole() -> Iterator[str]:
    """The URL of a Redis that accepts connections and never replies."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}/0"


@pytest.fixture(params=["killed", "hanging"])
def dead_redis(request: pytest.FixtureRequest) -> str:
    """The URL of a Redis that is down, then of one that never replies."""
    if request.param == "hanging":
        return str(request.getfixturevalue("black_hole"))
    redis: RedisProcess = request.getfixturevalue("own_redis")
    redis.kill()
    return redis.url


class TestRedisDown:
    @pytest.mark.parametrize("call", ["submit", "get", "list"])
    def test_it_is_reported_within_two_seconds(
        self, make_client: MakeClient, sample: bytes, dead_redis: str, call: str
    ) -> None:
        client = make_client(redis_url=dead_redis)
        begun = time.monotonic()
        response = _call(client, call, sample)
        taken = time.monotonic() - begun
        assert_problem(response, 503, "queue_unavailable")
        assert taken < 2

    @pytest.mark.parametrize("call", ["submit with a key", "cancel", "erase"])
    def test_every_other_call_reports_it(
        self, make_client: MakeClient, sample: bytes, own_redis: RedisProcess, call: str
    ) -> None:
        client = make_client(redis_url=own_redis.url)
        own_redis.kill()
        assert_problem(_call(client, call, sample), 503, "queue_unavailable")

    @pytest.mark.usefixtures("nothing_left")
    def test_nothing_is_stored(
        self, make_client: MakeClient, sample: bytes, own_redis: RedisProcess
    ) -> None:
        client = make_client(redis_url=own_redis.url)
        own_redis.kill()
        assert_problem(submit(client, sample), 503, "queue_unavailable")

    def test_bad_input_is_still_reported_as_bad(
        self, make_client: MakeClient, sample: bytes, dead_redis: str
    ) -> None:
        client = make_client(redis_url=dead_redis)
        response = submit(client, sample, job={"prompt": {"box": [1, 2, 0, 4]}})
        assert_problem(response, 422, "invalid_request", "prompt.box")

    def test_requests_succeed_as_soon_as_redis_is_back(
        self, make_client: MakeClient, sample: bytes, own_redis: RedisProcess
    ) -> None:
        client = make_client(redis_url=own_redis.url)
        first = accepted(submit(client, sample))
        own_redis.kill()
        assert_problem(client.get(f"/v1/jobs/{first}"), 503, "queue_unavailable")
        own_redis.start()
        assert client.get(f"/v1/jobs/{first}").json["id"] == first
        accepted(submit(client, sample))

    def test_a_waiting_caller_is_told_of_the_outage(
        self, make_client: MakeClient, sample: bytes, own_redis: RedisProcess
    ) -> None:
        client = make_client(redis_url=own_redis.url)
        job_id = accepted(submit(client, sample))
        begun = time.monotonic()
        with meanwhile(own_redis.kill):
            response = client.get(f"/v1/jobs/{job_id}?wait=30")
        assert_problem(response, 503, "queue_unavailable")
        assert time.monotonic() - begun < 5


def _call(client: Client, call: str, sample: bytes) -> Any:
    if call == "submit":
        return submit(client, sample)
    if call == "submit with a key":
        return submit(client, sample, headers={"Idempotency-Key": "k"})
    path, method = {
        "get": (f"/v1/jobs/{NOBODY}", "GET"),
        "list": ("/v1/jobs", "GET"),
        "cancel": (f"/v1/jobs/{NOBODY}/cancel", "POST"),
        "erase": (f"/v1/jobs/{NOBODY}", "DELETE"),
    }[call]
    return client.open(path, method=method)


class TestRedisNearlyFull:
    def test_a_job_is_refused_and_nothing_is_stored(
        self,
        make_client: MakeClient,
        sample: bytes,
        own_redis: RedisProcess,
        storage: MemoryStorage,
    ) -> None:
        client = make_client(redis_url=own_redis.url)
        _fill(own_redis, 0.9)
        response = submit(client, sample)
        assert_problem(response, 503, "queue_full")
        assert storage.objects == {}
        connection = Connection(own_redis.url)
        assert records(connection) == []
        connection.close()

    def test_a_running_job_can_still_finish(
        self, make_client: MakeClient, sample: bytes, own_redis: RedisProcess
    ) -> None:
        client = make_client(redis_url=own_redis.url)
        job_id = accepted(submit(client, sample))
        connection = Connection(own_redis.url)
        leases = LeaseTable(connection, worker="w", lease_ms=30_000, retention_ms=60_000)
        claim = claimed(leases, job_id)
        _fill(own_redis, 0.9)
        assert_problem(submit(client, sample), 503, "queue_full")
        assert leases.renew([claim]) == frozenset()
        assert leases.finish(claim, Status.SUCCEEDED, Outcome())
        connection.close()
        assert client.get(f"/v1/jobs/{job_id}").json["status"] == "succeeded"

    def test_an_upload_is_refused_and_nothing_is_recorded(
        self, make_client: MakeClient, sample: bytes, own_redis: RedisProcess
    ) -> None:
        client = make_client(redis_url=own_redis.url)
        _fill(own_redis, 0.9)
        response, of_a_job = client.post("/v1/uploads", json={"bytes": 1}), submit(client, sample)
        assert_problem(response, 503, "queue_full")
        assert response.json["detail"] == of_a_job.json["detail"]
        assert response.headers["Retry-After"] == of_a_job.headers["Retry-After"]
        connection = Connection(own_redis.url)
        assert records(connection) == []
        connection.close()
        _fill(own_redis, 0.5)
        assert client.post("/v1/uploads", json={"bytes": 1}).status_code == 201

    def test_a_redis_above_its_memory_limit_refuses_too(
        self, make_client: MakeClient, own_redis: RedisProcess
    ) -> None:
        client = make_client(redis_url=own_redis.url)
        _fill(own_redis, 1.2)
        assert_problem(client.post("/v1/uploads", json={"bytes": 1}), 503, "queue_full")

    def test_jobs_are_accepted_again_once_redis_has_room(
        self, make_client: MakeClient, sample: bytes, own_redis: RedisProcess
    ) -> None:
        client = make_client(redis_url=own_redis.url)
        _fill(own_redis, 0.9)
        assert_problem(submit(client, sample), 503, "queue_full")
        _fill(own_redis, 0.5)
        accepted(submit(client, sample))


def _fill(redis: RedisProcess, share: float) -> None:
    """Set maxmemory so that the memory in use is this share of it."""
    connection = Connection(redis.url)
    used = int(connection.redis.info("memory")["used_memory"])
    connection.redis.config_set("maxmemory", int(used / share))
    connection.close()


class MumblingStorage(MemoryStorage):
    """Storage that writes the object, but whose response is lost."""

    def put(self, key: str, data: bytes | BinaryIO, content_type: str) -> None:
        super().put(key, data, content_type)
        raise StorageUnavailable


class TestStorageDown:
    @pytest.mark.usefixtures("nothing_left_once_swept")
    def test_a_photo_is_refused(
        self, client: Client, sample: bytes, storage: MemoryStorage, connection: Connection
    ) -> None:
        storage.down = True
        assert_problem(submit(client, sample), 503, "storage_unavailable")
        (note,) = noted(connection)
        photo = note.rpartition("/")[2]
        assert records(connection) == [redis_keys.INPUT.key(photo), redis_keys.SWEEP.key()]

    def test_a_photo_whose_write_was_not_confirmed_is_swept(
        self, make_client: MakeClient, sample: bytes, connection: Connection
    ) -> None:
        storage = MumblingStorage()
        client = make_client(stored_in=storage)
        assert_problem(submit(client, sample), 503, "storage_unavailable")
        assert noted(connection) == list(storage.objects)

    @pytest.mark.usefixtures("nothing_left_once_swept")
    def test_an_upload_cannot_be_used(
        self, client: Client, sample: bytes, storage: MemoryStorage
    ) -> None:
        made = client.post("/v1/uploads", json={"bytes": len(sample)}).json
        storage.down = True
        response = post_body(client, {"upload": made["id"]})
        assert_problem(response, 503, "storage_unavailable")

    def test_a_result_cannot_be_fetched(
        self, client: Client, sample: bytes, finish: Finish, storage: MemoryStorage
    ) -> None:
        job_id = accepted(submit(client, sample))
        finish(job_id)
        storage.down = True
        response = client.get(f"/v1/jobs/{job_id}/result")
        assert_problem(response, 503, "storage_unavailable")

    def test_jobs_can_still_be_read(
        self, client: Client, sample: bytes, storage: MemoryStorage
    ) -> None:
        job_id = accepted(submit(client, sample))
        storage.down = True
        assert client.get(f"/v1/jobs/{job_id}").status_code == 200
        assert client.get("/v1/jobs").status_code == 200
        assert client.post(f"/v1/jobs/{job_id}/cancel").status_code == 200

    @pytest.mark.usefixtures("nothing_left")
    def test_a_url_is_refused_although_it_needs_no_storage_yet(
        self, client: Client, storage: MemoryStorage
    ) -> None:
        storage.down = True
        assert_problem(post_body(client, {"url": URL}), 503, "storage_unavailable")
