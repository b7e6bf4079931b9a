"""A storage outage refuses every submit; submits without a file share one storage check."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from api.pulse import REMEMBERED, Pulse
from shared.errors import StorageUnavailable
from shared.queue.connection import Connection
from shared.testing import MemoryStorage
from tests.api.conftest import (
    Client,
    Finish,
    MakeClient,
    accepted,
    assert_problem,
    records,
    submit,
)

URL = "https://example.com/photo.jpg"
POINT = {"prompt": {"points": [[1, 1]]}}
#: How a submit without a file names its photo, given a finished job.
SOURCES: dict[str, Callable[[str], dict[str, Any]]] = {
    "url": lambda _: {"url": URL},
    "job": lambda parent: {"job": parent} | POINT,
    "mask": lambda parent: {"job": parent, "prompt": {"mask": parent}},
    "render": lambda parent: {"render": parent},
}


class Counting(MemoryStorage):
    """Storage that counts its pings; each takes `pause` seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.pings = 0
        self.pause = 0.0

    def ping(self) -> None:
        self.pings += 1
        time.sleep(self.pause)
        super().ping()


@pytest.fixture
def parent(client: Client, sample: bytes, finish: Finish) -> str:
    """A finished job."""
    job_id = accepted(submit(client, sample))
    finish(job_id)
    return job_id


class TestSubmit:
    @pytest.mark.parametrize("source", SOURCES)
    def test_a_submit_without_a_file_is_refused_and_creates_nothing(
        self,
        client: Client,
        parent: str,
        storage: MemoryStorage,
        connection: Connection,
        source: str,
    ) -> None:
        storage.down = True
        before = records(connection)
        response = client.post("/v1/jobs", json=SOURCES[source](parent))
        assert_problem(response, 503, "storage_unavailable")
        assert records(connection) == before

    @pytest.mark.parametrize("source", SOURCES)
    def test_the_same_submit_is_accepted_once_storage_is_back(
        self, client: Client, parent: str, storage: MemoryStorage, source: str
    ) -> None:
        storage.down = True
        body = SOURCES[source](parent)
        assert client.post("/v1/jobs", json=body).status_code == 503
        storage.down = False
        time.sleep(REMEMBERED)
        accepted(client.post("/v1/jobs", json=body))

    def test_an_outage_is_noticed_once_the_last_result_expires(
        self, client: Client, storage: MemoryStorage
    ) -> None:
        accepted(client.post("/v1/jobs", json={"url": URL}))
        storage.down = True
        time.sleep(REMEMBERED)
        assert_problem(client.post("/v1/jobs", json={"url": URL}), 503, "storage_unavailable")

    def test_a_replayed_request_is_answered_during_an_outage(
        self, client: Client, storage: MemoryStorage
    ) -> None:
        key = {"Idempotency-Key": "order-17"}
        first = accepted(client.post("/v1/jobs", json={"url": URL}, headers=key))
        storage.down = True
        time.sleep(REMEMBERED)
        assert accepted(client.post("/v1/jobs", json={"url": URL}, headers=key)) == first

    def test_an_invalid_request_is_reported_before_the_outage(
        self, client: Client, storage: MemoryStorage
    ) -> None:
        storage.down = True
        response = client.post("/v1/jobs", json={"url": "http://127.0.0.1/"})
        assert_problem(response, 422, "invalid_request", "url")

    def test_a_burst_without_files_pings_storage_once(self, make_client: MakeClient) -> None:
        storage = Counting()
        client = make_client(stored_in=storage)
        for _ in range(20):
            accepted(client.post("/v1/jobs", json={"url": URL}))
        assert storage.pings <= 2

    def test_a_submit_with_a_file_needs_no_ping(
        self, make_client: MakeClient, sample: bytes
    ) -> None:
        storage = Counting()
        accepted(submit(make_client(stored_in=storage), sample))
        assert storage.pings == 1  # the `put`'s own


class TestPulse:
    def test_concurrent_checks_share_one_success(self) -> None:
        storage = Counting()
        storage.pause = 0.2
        pulse = Pulse(storage.ping)
        began = time.monotonic()
        with ThreadPoolExecutor(16) as callers:
            for asked in [callers.submit(pulse.require) for _ in range(16)]:
                asked.result()
        assert storage.pings == 1
        assert time.monotonic() - began < 1

    def test_concurrent_checks_share_one_failure(self) -> None:
        storage = Counting()
        storage.pause, storage.down = 0.2, True
        pulse = Pulse(storage.ping)
        gate = threading.Barrier(16)

        def ask() -> BaseException | None:
            gate.wait()
            try:
                pulse.require()
            except StorageUnavailable as error:
                return error
            return None

        with ThreadPoolExecutor(16) as callers:
            errors = [asked.result() for asked in [callers.submit(ask) for _ in range(16)]]
        assert storage.pings == 1
        assert None not in errors
        assert len({id(error) for error in errors}) == 16  # tracebacks are not shared

    @pytest.mark.parametrize("down", [False, True])
    def test_a_result_expires(self, down: bool) -> None:
        storage = Counting()
        storage.down = down
        pulse = Pulse(storage.ping, remembered=0.1)
        for _ in range(2):
            for _ in range(3):
                if down:
                    with pytest.raises(StorageUnavailable):
                        pulse.require()
                else:
                    pulse.require()
            time.sleep(0.11)
        assert storage.pings == 2

    def test_the_storage_error_is_passed_on(self) -> None:
        def ping() -> None:
            raise StorageUnavailable("the storage folder is gone")

        with pytest.raises(StorageUnavailable, match="the storage folder is gone"):
            Pulse(ping).require()
