"""The app on a real Redis, served to the client without a network."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable

import httpx

from nukki import Client
from shared.job import Failure, Lane, Outcome, Status, Subject
from shared.job import Result as Made
from shared.queue.connection import Connection
from shared.queue.leases import LeaseTable
from shared.storage import keys
from shared.testing import MemoryStorage

KEY = "shop-key-0123456789"
GONE = "job_" + "0" * 24


class Bell:
    """A doorbell that finishes each job at once with `outcome`, if that is set."""

    def __init__(self, connection: Connection, storage: MemoryStorage) -> None:
        self._storage = storage
        self._leases = LeaseTable(connection, worker="test", lease_ms=30_000, retention_ms=60_000)
        self.outcome: Outcome | None = None
        self.rung: list[str] = []

    def ring(self, job_id: str, lane: Lane) -> bool:  # noqa: ARG002
        self.rung.append(job_id)
        if self.outcome is not None:
            self.do(job_id, self.outcome)
        return True

    def do(self, job_id: str, outcome: Outcome) -> None:
        claim = self._leases.claim(job_id)
        assert claim is not None
        for name in keys.ATTEMPT_FILES:
            key = keys.attempt_key(claim.job.tenant, job_id, claim.job.claims, name)
            self._storage.put(key, f"the {name}".encode(), "")
        ended = Status.FAILED if outcome.error else Status.SUCCEEDED
        self._leases.finish(claim, ended, outcome)


_DIGEST = hashlib.sha256(b"the result").hexdigest()
DONE = Outcome(
    model="grabcut",
    result=Made(content_type="image/png", width=600, height=400, bytes=10, sha256=_DIGEST),
    subject=Subject(box=(1, 2, 3, 4), area=0.5, scores=(1.0,), needs_review=False),
    timings_ms={"total": 12.0},
)
FAILED = Outcome(error=Failure(code="subject_not_found", message="nothing there"))


class Line(httpx.BaseTransport):
    """A transport from client to app that records requests and can inject faults."""

    def __init__(self) -> None:
        self.apps: dict[str, httpx.BaseTransport] = {}
        self.sent: list[httpx.Request] = []
        #: Answers for the next requests, in place of the app's.
        self.faults: list[Callable[[httpx.Request], httpx.Response]] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.sent.append(request)
        if self.faults:
            return self.faults.pop(0)(request)
        return self.pass_on(request)

    def pass_on(self, request: httpx.Request) -> httpx.Response:
        return self.apps[request.url.host].handle_request(request)

    # Faults

    @staticmethod
    def busy(_: httpx.Request) -> httpx.Response:
        problem = {"status": 503, "code": "queue_unavailable", "detail": "away"}
        return httpx.Response(503, json=problem, headers={"Retry-After": "2"})

    @staticmethod
    def full(_: httpx.Request) -> httpx.Response:
        problem = {"status": 429, "code": "queue_full", "detail": "the queue is full"}
        return httpx.Response(429, json=problem, headers={"Retry-After": "2"})

    @staticmethod
    def refused(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    def answer_lost(self, request: httpx.Request) -> httpx.Response:
        self.pass_on(request)
        raise httpx.ReadTimeout("silence", request=request)


@dataclasses.dataclass
class Place:
    """The app, the parts that tests control, and a client of it."""

    line: Line
    bell: Bell
    storage: MemoryStorage
    client: Client
    connection: Connection


MakePlace = Callable[..., Place]
