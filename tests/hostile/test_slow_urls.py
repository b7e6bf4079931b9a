"""Photo URLs whose hosts drip: they keep no room, no thread and no slot that others need."""

from __future__ import annotations

import dataclasses
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from shared.guard import Guard
from shared.job import Input, Job, Status, new_id
from shared.outbound import Outbound
from shared.queue.connection import Connection
from shared.queue.jobs import JobQueue
from shared.schema import JobRequest
from shared.storage import keys
from shared.testing import MemoryStorage
from tests.unit.test_in_flight import until
from tests.unit.test_metrics import working
from worker.job import pipeline
from worker.job.fetch_slots import FetchSlots
from worker.job.waiting_room import Line
from worker.runtime import Runtime

THREADS = 8


class Dripper:
    """Hosts that answer every request with a byte now and then, and never end."""

    def __init__(self, hosts: int = 9) -> None:
        self.connections = 0
        self._listeners = [
            socket.create_server((f"127.0.0.{number}", 0)) for number in range(1, hosts + 1)
        ]
        self._ends = threading.Event()
        self._threads = [
            threading.Thread(target=self._accept, args=[listener]) for listener in self._listeners
        ]
        for thread in list(self._threads):
            thread.start()

    def url(self, host: int = 1) -> str:
        address, port = self._listeners[host - 1].getsockname()
        return f"http://{address}:{port}/photo"

    def _accept(self, listener: socket.socket) -> None:
        listener.settimeout(0.01)
        while not self._ends.is_set():
            with suppress(TimeoutError):
                connection, _ = listener.accept()
                self.connections += 1
                thread = threading.Thread(target=self._drip, args=[connection])
                self._threads.append(thread)
                thread.start()

    def _drip(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            while not self._ends.wait(0.02):
                connection.sendall(b"x")

    def close(self) -> None:
        self._ends.set()
        for thread in self._threads:
            thread.join()
        for listener in self._listeners:
            listener.close()


class Worker:
    """A worker process's runtime, and doorbells for it."""

    def __init__(self, connection: Connection, sample: bytes) -> None:
        self.jobs = JobQueue(connection, retention_ms=60_000)
        self.storage = MemoryStorage()
        self.runtime: Runtime = dataclasses.replace(
            working(connection, self.storage),
            outbound=Outbound(Guard(["127.0.0.0/8"])),
            downloads=FetchSlots(THREADS // 2),
        )
        self._sample = sample

    def submit(self, tenant: str, url: str | None = None, **request: object) -> str:
        photo = Input(new_id("inp"), tenant, url=url)
        if url is None:
            size = len(self._sample)
            photo = dataclasses.replace(photo, stored=True, bytes=size, pixels=240_000)
            self.jobs.note_input(photo.id, tenant, expiry_ms=60_000)
            self.storage.put(keys.input_key(tenant, photo.id), self._sample, "")
        made = Job(new_id("job"), tenant, JobRequest.model_validate(request), photo.id, "http://x")
        return self.jobs.accept(made, photo).job_id

    def ring(self, *job_ids: str) -> list[threading.Thread]:
        """As many of Celery's threads as there are jobs."""
        threads = [
            threading.Thread(target=pipeline.process, args=(self.runtime, job_id))
            for job_id in job_ids
        ]
        for thread in threads:
            thread.start()
        return threads

    def status(self, job_id: str) -> Status:
        return self.jobs.get(job_id).status

    def count(self, job_ids: list[str], status: Status) -> int:
        return sum(self.status(job_id) is status for job_id in job_ids)


@pytest.fixture
def worker(connection: Connection, sample: bytes) -> Worker:
    return Worker(connection, sample)


@pytest.fixture
def dripper(worker: Worker) -> Iterator[Dripper]:
    dripping = Dripper()
    yield dripping
    worker.runtime.draining.set()
    dripping.close()
    until(lambda: not worker.runtime.heartbeat.held())


def test_another_tenants_click_passes_all_dripping_urls(worker: Worker, dripper: Dripper) -> None:
    dripping = [worker.submit("alpha", dripper.url()) for _ in range(30)]
    threads = worker.ring(*dripping)
    until(lambda: worker.count(dripping, Status.PROCESSING) == 2)
    click = worker.submit("beta")
    pipeline.process(worker.runtime, click)
    assert worker.status(click) is Status.SUCCEEDED
    assert worker.count(dripping, Status.PROCESSING) == 2  # and they hold nothing else:
    assert worker.runtime.pixels_in_flight.held == 0
    assert sum(thread.is_alive() for thread in threads) == 2
    assert len(worker.runtime.waiting) == 28
    assert {worker.jobs.get(job_id).attempts for job_id in dripping} == {0, 1}


def test_the_same_tenants_click_passes_more_than_the_waiting_room_holds(
    worker: Worker, dripper: Dripper
) -> None:
    dripping = [worker.submit("alpha", dripper.url()) for _ in range(260)]
    for job_id in dripping[2:]:
        worker.runtime.waiting.enter(job_id, Line("alpha", urgent=True, host="127.0.0.1"))
    click = worker.submit("alpha")
    pipeline.process(worker.runtime, click)
    assert worker.status(click) is Status.SUCCEEDED


def test_another_host_and_another_tenant_still_get_a_slot(worker: Worker, dripper: Dripper) -> None:
    same = [worker.submit("alpha", dripper.url()) for _ in range(9)]
    worker.ring(*same)
    until(lambda: worker.count(same, Status.PROCESSING) == 2)
    others = [worker.submit("alpha", dripper.url(n)) for n in range(2, 9)]
    worker.ring(*others)
    until(lambda: worker.count(others, Status.PROCESSING) == 1)
    another = worker.submit("beta", dripper.url(9))
    worker.ring(another)
    until(lambda: worker.status(another) is Status.PROCESSING)
    assert worker.count(others, Status.PROCESSING) == 1


def test_dripping_bulk_urls_leave_a_slot_for_a_person(worker: Worker, dripper: Dripper) -> None:
    bulk = [worker.submit(f"tenant{n}", dripper.url(n), priority="bulk") for n in range(1, 9)]
    worker.ring(*bulk)
    until(lambda: worker.count(bulk, Status.PROCESSING) == 3)
    click = worker.submit("beta", dripper.url(9))
    worker.ring(click)
    until(lambda: worker.status(click) is Status.PROCESSING)


def test_a_photo_that_must_run_alone_drips_alone(
    worker: Worker, dripper: Dripper, connection: Connection
) -> None:
    """In quarantine it holds the whole worker, but not while its photo comes."""
    quarantined = worker.submit("alpha", dripper.url())
    connection.redis.hset(f"nukki:job:{quarantined}", "quarantined", 1)
    worker.ring(quarantined)
    until(lambda: dripper.connections == 1)
    click = worker.submit("beta")
    pipeline.process(worker.runtime, click)
    assert worker.status(click) is Status.SUCCEEDED
    assert worker.status(quarantined) is Status.QUEUED


def test_a_drip_ends_at_the_deadline_as_a_failed_attempt(worker: Worker, dripper: Dripper) -> None:
    settings = worker.runtime.settings.model_copy(update={"fetch_timeout": 0.3, "max_attempts": 1})
    worker.runtime = dataclasses.replace(worker.runtime, settings=settings)
    ids = [worker.submit("alpha", dripper.url()) for _ in range(5)]
    worker.ring(*ids)
    until(lambda: worker.count(ids, Status.FAILED) == 5)  # those that waited follow by themselves
    outcome = worker.jobs.get(ids[0]).outcome
    assert outcome is not None
    assert outcome.error is not None
    assert outcome.error.code == "url_unavailable"
    assert len(worker.runtime.waiting) == 0
