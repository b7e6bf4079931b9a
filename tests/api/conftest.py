"""The app on a real Redis and a storage double, without a worker."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from api.app import create_app
from api.services import Services
from shared import webhooks
from shared.job import Failure, Job, Outcome, Result, Status, Subject
from shared.queue import keys as redis_keys
from shared.queue.connection import Connection
from shared.queue.jobs import JobQueue
from shared.queue.leases import Claim, LeaseTable
from shared.queue.upkeep import Upkeep
from shared.queue.workers import WorkerInfo, WorkerRoll
from shared.settings import ApiSettings
from shared.storage import Storage, keys
from shared.testing import MemoryStorage, RedisProcess, SilentDoorbell
from worker.courier.sweeper import Sweeper

KEYS = "shop:shop-key-0123456789,other:other-key-0123456789"
SHOP = {"X-Api-Key": "shop-key-0123456789"}
OTHER = {"X-Api-Key": "other-key-0123456789"}


@pytest.fixture
def storage() -> MemoryStorage:
    return MemoryStorage()


@pytest.fixture
def doorbell() -> SilentDoorbell:
    return SilentDoorbell()


class Client(FlaskClient):
    """A test client with untyped responses, so that tests can index their `json`."""

    def open(self, *args: Any, **kwargs: Any) -> Any:
        response = super().open(*args, **kwargs)
        response.request.environ["wsgi.input"].close()  # a temporary file if the body was long
        return response

    if TYPE_CHECKING:
        get: Any
        post: Any
        put: Any
        delete: Any


MakeClient = Callable[..., Client]


@pytest.fixture
def make_client(
    shared_redis: RedisProcess,
    connection: Connection,
    storage: MemoryStorage,
    doorbell: SilentDoorbell,
    tmp_path: Path,
) -> Iterator[MakeClient]:
    """Make the app with these settings; `client` uses the defaults."""
    made: list[Services] = []

    def make(*, stored_in: Storage = storage, **overrides: object) -> Client:
        given: dict[str, object] = {
            "redis_url": shared_redis.url,
            "storage_dir": tmp_path / "storage",
            "webhook_secrets": f"default:{webhooks.new_secret()},shop:{webhooks.new_secret()}",
        }
        settings = ApiSettings.load(**(given | overrides))
        services = dataclasses.replace(
            Services.connect(settings), storage=stored_in, doorbell=doorbell
        )
        made.append(services)
        return another_client(create_app(settings, services))

    yield make
    for services in made:
        services.waiting.close()


def another_client(app: Flask) -> Client:
    """A client of the same app, for another thread."""
    return Client(app, app.response_class)


@pytest.fixture
def client(make_client: MakeClient) -> Client:
    """A client of the app without keys, as on loopback."""
    return make_client()


@pytest.fixture
def keyed(make_client: MakeClient) -> Client:
    """A client of the app with two tenants' keys: send `SHOP` or `OTHER` as headers."""
    return make_client(api_keys=KEYS)


@pytest.fixture
def jobs(connection: Connection) -> JobQueue:
    """The job records, for assertions and for setup."""
    return JobQueue(connection, retention_ms=60_000)


@pytest.fixture
def leases(connection: Connection) -> LeaseTable:
    """The worker's side of the queue, for finishing jobs without a worker."""
    return LeaseTable(connection, worker="test", lease_ms=30_000, retention_ms=60_000)


def claimed(leases: LeaseTable, job_id: str) -> Claim:
    claim = leases.claim(job_id)
    if claim is None:
        raise LookupError(f"nothing to claim: {job_id}")
    return claim


Finish = Callable[[str], None]


@pytest.fixture
def finish(leases: LeaseTable, storage: MemoryStorage) -> Finish:
    """Finish a job as a worker would: store a result and an alpha, and mark it succeeded."""

    def do(job_id: str) -> None:
        claim = claimed(leases, job_id)
        job = claim.job
        photo = storage.objects.get(keys.input_key(job.tenant, claim.photo.id))
        if photo is not None:  # None for a URL, which these tests never fetch
            digest = hashlib.sha256(photo).hexdigest()
            leases.record_input(claim.photo.id, digest=digest, size=len(photo), pixels=1)
        for name in keys.ATTEMPT_FILES:
            storage.put(keys.attempt_key(job.tenant, job_id, job.claims, name), name.encode(), "")
        digest = hashlib.sha256(keys.RESULT.encode()).hexdigest()
        result = Result(content_type="image/png", width=600, height=400, bytes=6, sha256=digest)
        subject = Subject(box=(1, 2, 3, 4), area=0.5, scores=(1.0,), needs_review=False)
        outcome = Outcome(
            model="grabcut", result=result, subject=subject, timings_ms={"total": 12.5}
        )
        leases.finish(claim, Status.SUCCEEDED, outcome)

    return do


Fail = Callable[..., None]


@pytest.fixture
def fail(leases: LeaseTable) -> Fail:
    """Fail a job as a worker would."""

    def do(job_id: str, code: str = "subject_not_found", message: str = "nothing there") -> None:
        error = Failure(code=code, message=message)
        leases.finish(claimed(leases, job_id), Status.FAILED, Outcome(error=error))

    return do


@pytest.fixture
def sign_in(connection: Connection) -> Callable[[str], None]:
    """Register a ready worker for this model."""

    def do(model: str) -> None:
        worker = WorkerInfo(name=f"host/{model}", model=model, device="cpu", threads=1)
        WorkerRoll(connection).sign_in(worker)

    return do


Clear = Callable[[], int]


@pytest.fixture
def clear(connection: Connection, jobs: JobQueue, storage: MemoryStorage) -> Clear:
    """Make every sweep note due and run the sweeper; the number of notes cleared."""

    def do() -> int:
        for name in noted(connection):
            connection.redis.zadd(redis_keys.SWEEP.key(), {name: 0})
        upkeep = Upkeep(connection, max_attempts=3, retention_ms=60_000)
        return Sweeper(upkeep, jobs, storage).clear()

    return do


def left(storage: MemoryStorage) -> dict[str, bytes]:
    """What is stored, without the tombstones of erased jobs."""
    return {key: data for key, data in storage.objects.items() if not key.startswith("~erased/")}


@pytest.fixture
def nothing_left(connection: Connection, storage: MemoryStorage) -> Iterator[None]:
    """Assert after the test that it left nothing in Redis or storage."""
    yield
    assert records(connection) == []
    assert left(storage) == {}


@pytest.fixture
def nothing_left_once_swept(
    connection: Connection, storage: MemoryStorage, clear: Clear
) -> Iterator[None]:
    """Assert after the test that the sweeper clears everything it left."""
    yield
    storage.down = False
    clear()
    assert records(connection) == []
    assert left(storage) == {}


def records(connection: Connection) -> list[str]:
    """All keys in Redis, including the broker's queues."""
    return sorted(connection.redis.keys("*"))


def noted(connection: Connection) -> list[str]:
    """The storage keys scheduled for sweeping."""
    return list(connection.redis.zrange(redis_keys.SWEEP.key(), 0, -1))


def submit(client: Client, photo: bytes, **kwargs: Any) -> Any:
    """Post a photo; `job` is the JSON part, other arguments go to the test client."""
    job = kwargs.pop("job", None)
    data: dict[str, Any] = {"image": (io.BytesIO(photo), kwargs.pop("filename", "photo"))}
    if job is not None:
        data["job"] = job if isinstance(job, str) else json.dumps(job)
    return client.post("/v1/jobs", data=data, content_type="multipart/form-data", **kwargs)


def accepted(response: Any) -> str:
    """The id of the job that the response says was accepted."""
    assert response.status_code == 202, response.text
    return str(response.json["id"])


def assert_problem(response: Any, status: int, code: str, field: str | None = None) -> None:
    """Assert that the response is an RFC 9457 problem with this status, code and field, if any."""
    assert (response.status_code, response.json["code"]) == (status, code), response.text
    assert response.content_type == "application/problem+json"
    problem = response.json
    assert set(problem) - {"errors"} == {"type", "title", "status", "detail", "code", "request_id"}
    assert problem["type"] == f"urn:nukki:error:{code}"
    assert problem["status"] == status
    assert problem["detail"]
    assert problem["request_id"] == response.headers["X-Request-Id"]
    named = [item["field"] for item in problem.get("errors", [])]
    assert all(item["message"] for item in problem.get("errors", []))
    assert named == ([] if field is None else [field])
    if status == 503:
        assert int(response.headers["Retry-After"]) > 0


@contextmanager
def meanwhile(act: Callable[[], object], *, after: float = 0.2) -> Iterator[None]:
    """Run `act` in a thread `after` seconds into the block; raises its error."""
    failures: list[BaseException] = []

    def work() -> None:
        time.sleep(after)
        try:
            act()
        except BaseException as error:  # noqa: BLE001  # raised below
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        thread.join()
    if failures:
        raise failures[0]


def the_job(jobs: JobQueue, tenant: str = "default", *, patience: float = 5.0) -> Job:
    """The tenant's only job, waiting until it exists."""
    deadline = time.monotonic() + patience
    while not (found := jobs.page(tenant, limit=2).jobs):
        if time.monotonic() > deadline:
            raise TimeoutError("no job was accepted")
        time.sleep(0.01)
    (job,) = found
    return job
