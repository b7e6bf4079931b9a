"""Overload is refused with 429 and creates nothing; a hanging storage is reported in time."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from shared.job import Input
from shared.queue import keys as redis_keys
from shared.queue.connection import Connection
from shared.queue.jobs import JobQueue
from shared.queue.leases import LeaseTable
from shared.settings import ApiSettings
from shared.storage import Storage, open_storage
from shared.testing import MemoryStorage
from tests.api.conftest import (
    KEYS,
    OTHER,
    SHOP,
    Clear,
    Client,
    MakeClient,
    accepted,
    another_client,
    assert_problem,
    claimed,
    noted,
    records,
    submit,
)

KEY = {"Idempotency-Key": "order-17"}
URL = "https://example.com/photo.jpg"


class Late(JobQueue):
    """A queue whose early check for room always passes; only accepting a job can refuse it."""

    def __init__(self, jobs: JobQueue) -> None:
        vars(self).update(vars(jobs))

    def admit(self, tenant: str, photo: Input | None = None, *, expiry_ms: int = 0) -> None:
        if photo is not None:
            self.note_input(photo.id, tenant, expiry_ms=expiry_ms)


class TestTooMany:
    def test_a_full_queue_answers_429_and_nothing_is_stored(
        self,
        make_client: MakeClient,
        sample: bytes,
        storage: MemoryStorage,
        connection: Connection,
    ) -> None:
        client = make_client(max_queued=2)
        for _ in range(2):
            accepted(submit(client, sample))
        before, stored = records(connection), dict(storage.objects)
        response = submit(client, sample)
        assert_problem(response, 429, "too_many_jobs")
        assert int(response.headers["Retry-After"]) > 0
        assert (records(connection), storage.objects) == (before, stored)

    def test_there_is_room_again_once_a_worker_takes_a_job(
        self, make_client: MakeClient, sample: bytes, leases: LeaseTable
    ) -> None:
        client = make_client(max_queued=1)
        first = accepted(submit(client, sample))
        assert_problem(submit(client, sample), 429, "too_many_jobs")
        claimed(leases, first)
        accepted(submit(client, sample))

    def test_a_tenant_is_limited_to_its_share(self, make_client: MakeClient, sample: bytes) -> None:
        client = make_client(api_keys=KEYS, max_queued=4, tenant_share=0.5)
        for _ in range(2):
            accepted(submit(client, sample, headers=SHOP))
        response = submit(client, sample, headers=SHOP)
        assert_problem(response, 429, "too_many_jobs")
        assert "share" in response.json["detail"]
        accepted(submit(client, sample, headers=OTHER))

    def test_a_tenant_is_limited_to_its_share_of_memory(
        self, make_client: MakeClient, sample: bytes
    ) -> None:
        client = make_client(api_keys=KEYS, max_record_mb=0.02)
        statuses = [submit(client, sample, headers=SHOP) for _ in range(8)]
        assert {response.status_code for response in statuses} == {202, 429}
        assert_problem(statuses[-1], 429, "too_many_jobs")
        assert int(statuses[-1].headers["Retry-After"]) > 0
        accepted(submit(client, sample, headers=OTHER))

    def test_the_points_of_all_objects_are_limited(self, client: Client, sample: bytes) -> None:
        body = {"objects": [{"points": [[1, 1]] * 126}] * 8}
        assert_problem(submit(client, sample, job=body), 422, "invalid_request", "objects")
        accepted(submit(client, sample, job={"objects": body["objects"][:7]}))

    def test_unused_uploads_are_limited_to_a_quota(self, make_client: MakeClient) -> None:
        client = make_client(api_keys=KEYS, upload_quota_mb=0.1)
        asked = [client.post("/v1/uploads", json={"bytes": 60_000}, headers=SHOP) for _ in "ab"]
        assert asked[0].status_code == 201
        assert_problem(asked[1], 429, "upload_quota")
        assert int(asked[1].headers["Retry-After"]) > 0
        other = client.post("/v1/uploads", json={"bytes": 60_000}, headers=OTHER)
        assert other.status_code == 201

    def test_a_replayed_request_is_answered_when_the_queue_is_full(
        self, make_client: MakeClient, sample: bytes
    ) -> None:
        client = make_client(max_queued=1)
        first = accepted(submit(client, sample, headers=KEY))
        assert accepted(submit(client, sample, headers=KEY)) == first

    def test_refused_concurrent_submits_leave_nothing_behind(
        self,
        make_client: MakeClient,
        sample: bytes,
        storage: MemoryStorage,
        connection: Connection,
        clear: Clear,
    ) -> None:
        client = make_client(max_queued=1)
        jobs = client.application.extensions["nukki"].jobs
        # As if each had checked for room before any was accepted.
        client.application.extensions["nukki"] = dataclasses.replace(
            client.application.extensions["nukki"], jobs=Late(jobs)
        )
        first = accepted(submit(client, sample))
        for _ in range(3):
            assert_problem(submit(client, sample), 429, "too_many_jobs")
        assert len(storage.objects) == 1
        assert len(noted(connection)) == 3  # for files that are already deleted
        clear()
        assert noted(connection) == []
        assert len(connection.redis.keys(redis_keys.INPUT.glob)) == 1
        assert client.get(f"/v1/jobs/{first}").status_code == 200


@dataclass
class S3Server:
    """Accepts every connection; answers unless `silent`, and a PUT only after `pause`."""

    url: str = ""
    pause: float = 0.0
    silent: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)

    def answer(self, connection: socket.socket) -> None:
        with connection:
            stream = connection.makefile("rb")
            while line := stream.readline().decode():
                length, expects = 0, False
                while (header := stream.readline().decode().strip().lower()) != "":
                    if header.startswith("content-length:"):
                        length = int(header.partition(":")[2])
                    expects = expects or header.startswith("expect:")
                if self.silent.is_set():
                    self.over.wait()
                    return
                if expects:
                    connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                etag = hashlib.md5(stream.read(length)).hexdigest()
                self.over.wait(self.pause if line.startswith("PUT") else 0)
                head = f'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nETag: "{etag}"\r\n\r\n'
                connection.sendall(head.encode())

    def serve(self, listener: socket.socket) -> None:
        while not self.over.is_set():
            with contextlib.suppress(OSError):
                connection, _ = listener.accept()
                threading.Thread(target=self.answer, args=[connection], daemon=True).start()


@pytest.fixture
def server() -> Iterator[S3Server]:
    server = S3Server()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        threading.Thread(target=server.serve, args=[listener], daemon=True).start()
        yield server
        server.over.set()
        listener.shutdown(socket.SHUT_RDWR)


def _storage(url: str) -> Storage:
    settings = ApiSettings.load(
        s3_bucket="nukki", s3_endpoint=url, s3_access_key="a", s3_secret_key="b"
    )
    return open_storage(settings, answers_within=1.2)  # as `Services.connect` does


class TestSilentStorage:
    @pytest.mark.parametrize("before", [0, 1])
    def test_a_hanging_storage_is_reported_within_two_seconds(
        self, make_client: MakeClient, sample: bytes, server: S3Server, before: int
    ) -> None:
        client = make_client(stored_in=_storage(server.url))
        for _ in range(before):
            accepted(submit(client, sample))
        server.silent.set()
        began = time.monotonic()
        response = submit(client, sample)
        taken = time.monotonic() - began
        assert_problem(response, 503, "storage_unavailable")
        assert taken < 2

    def test_a_storage_outage_refuses_submits_without_a_file_too(
        self, make_client: MakeClient, server: S3Server
    ) -> None:
        client = make_client(stored_in=_storage(server.url))
        server.silent.set()

        def ask(_: int) -> float:
            began = time.monotonic()
            response = another_client(client.application).post("/v1/jobs", json={"url": URL})
            assert_problem(response, 503, "storage_unavailable")
            return time.monotonic() - began

        with ThreadPoolExecutor(12) as callers:
            assert max(callers.map(ask, range(36))) < 2

    def test_a_slow_storage_write_is_waited_for(
        self, make_client: MakeClient, sample: bytes, server: S3Server
    ) -> None:
        server.pause = 2.5
        accepted(submit(make_client(stored_in=_storage(server.url)), sample))


def test_the_api_connects_as_these_tests_do(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    from api import services

    asked: list[float | None] = []

    def note(_settings: ApiSettings, *, answers_within: float | None = None) -> Storage:
        asked.append(answers_within)
        return MemoryStorage()

    monkeypatch.setattr(services, "open_storage", note)
    make_client()
    assert asked == [1.2]
