"""A storage that gives other bytes than it was given is an outage: nothing damaged is delivered."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from shared.errors import StorageUnavailable
from shared.job import Job, Status
from shared.queue.connection import Connection
from shared.storage import S3Storage
from shared.testing import MemoryStorage
from tests.api.conftest import assert_problem
from tests.hostile.site import ALPHA, Site, photo

X = photo((100, 100, 500, 300))
PAGE = b"<html><body>502 Bad Gateway</body></html>"

LIES: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda data: data[: len(data) * 2 // 3],
    "empty": lambda _: b"",
    "one bit": lambda data: data[:-20] + bytes([data[-20] ^ 1]) + data[-19:],
    "longer": lambda data: data + b"\0",
    "a page": lambda _: PAGE,
    "another photo": lambda _: photo((20, 20, 320, 220)),
}
each_lie = pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())


class Lying(MemoryStorage):
    """Gives altered bytes of the objects whose key has `match` in it."""

    match = ""
    lie: Callable[[bytes], bytes] | None = None

    def get(self, key: str, *, limit: int | None = None) -> bytes:
        data = super().get(key)
        if self.lie is not None and self.match in key:
            data = self.lie(data)
        return data[:limit]


@pytest.fixture
def storage() -> Lying:
    return Lying()


@pytest.fixture
def site(connection: Connection, storage: Lying) -> Iterator[Site]:
    made = Site(connection, storage)
    yield made
    made.close()


def sha(job: Job) -> str:
    assert job.outcome is not None
    assert job.outcome.result is not None
    return job.outcome.result.sha256


def told_then_honest(site: Site, storage: Lying, match: str, lie: Any, **job: Any) -> Job:
    """Submit a job and run it while the storage lies, then again; it must wait, then succeed."""
    answer = site.submit(ALPHA, **job)
    assert answer.status_code == 202, answer.text
    storage.match, storage.lie = match, lie
    waiting = site.work(answer.json["id"])
    assert (waiting.status, waiting.attempts) == (Status.QUEUED, 0)
    storage.lie = None
    done = site.work(answer.json["id"])
    assert done.status is Status.SUCCEEDED
    return done


@each_lie
def test_a_photo_on_its_first_read(site: Site, storage: Lying, lie: Any) -> None:
    job_id = site.submit(ALPHA, X).json["id"]
    storage.match, storage.lie = "/inputs/", lie
    assert site.work(job_id).status is Status.QUEUED
    storage.lie = None
    assert site.work(job_id).status is Status.SUCCEEDED


@each_lie
def test_a_photo_used_again(site: Site, storage: Lying, lie: Any) -> None:
    first = site.cut(ALPHA, X)
    assert sha(told_then_honest(site, storage, "/inputs/", lie, job=first.id)) == sha(first)


@each_lie
@pytest.mark.parametrize("kind", ["render", "mask"])
def test_an_alpha(site: Site, storage: Lying, lie: Any, kind: str) -> None:
    first = site.cut(ALPHA, X)
    job = {"render": first.id} if kind == "render" else mask_of(first)
    done = told_then_honest(site, storage, "/alpha", lie, **job)
    if kind == "render":
        assert sha(done) == sha(first)


@each_lie
def test_logits(site: Site, storage: Lying, lie: Any) -> None:
    first = site.cut(ALPHA, X)
    told_then_honest(site, storage, "/logits", lie, **mask_of(first))


def mask_of(job: Job) -> dict[str, Any]:
    return {"job": job.id, "prompt": {"mask": job.id, "points": [[300, 200]]}}


@each_lie
def test_a_background(site: Site, storage: Lying, lie: Any) -> None:
    upload = site.upload(ALPHA, len(X))
    assert site.client.put(upload["url"], data=X).status_code == 200
    job = {"output": {"background": {"upload": upload["id"]}}}
    first = site.cut(ALPHA, X, **job)
    told_then_honest(site, storage, upload["id"], lie, job=first.id, **job)


@each_lie
@pytest.mark.parametrize("file", ["result", "mask"])
def test_a_file_is_not_delivered(site: Site, storage: Lying, lie: Any, file: str) -> None:
    job = site.cut(ALPHA, X)
    address = f"/v1/jobs/{job.id}/{file}"
    storage.match, storage.lie = f"/jobs/{job.id}/", lie
    assert_problem(site.client.get(address, headers=ALPHA), 503, "storage_unavailable")
    storage.lie = None
    assert site.client.get(address, headers=ALPHA).status_code == 200


@pytest.mark.parametrize("lie", [LIES["cut"], LIES["empty"], LIES["a page"]])
def test_a_record_is_not_forgotten(site: Site, storage: Lying, lie: Any) -> None:
    job = site.cut(ALPHA, X)
    assert site.services.records.archive(job.id)
    storage.match, storage.lie = "/job.json", lie
    address = f"/v1/jobs/{job.id}"
    assert_problem(site.client.get(address, headers=ALPHA), 503, "storage_unavailable")
    storage.lie = None
    assert site.client.get(address, headers=ALPHA).status_code == 200


# S3


class Bucket(http.server.ThreadingHTTPServer):
    """An S3 server of one object that spoils what comes in or goes out."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Objects)
        self.data = b""
        self.spoil_put = self.spoil_get = False
        self.opaque = False
        self.gets = 0

    def etag(self) -> str:
        return hashlib.md5((b"salt" if self.opaque else b"") + self.data).hexdigest()


class Objects(http.server.BaseHTTPRequestHandler):
    """Its requests."""

    server: Bucket

    def log_message(self, *_: Any) -> None:
        pass

    def do_PUT(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.data = data[:-1] + b"!" if self.server.spoil_put else data
        self._answer(b"")

    def do_GET(self) -> None:
        self.server.gets += 1
        data = self.server.data
        self._answer(data[:-1] + b"?" if self.server.spoil_get else data)

    def do_HEAD(self) -> None:
        self._answer(b"")

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{self.server.etag()}"')
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    with Bucket() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def s3(bucket: Bucket) -> S3Storage:
    url = f"http://127.0.0.1:{bucket.server_port}"
    return S3Storage("nukki", endpoint=url, access_key="key", secret_key="secret")


@pytest.mark.parametrize("opaque", [False, True])
def test_a_file_spoiled_on_its_way_in_is_not_stored(
    bucket: Bucket, s3: S3Storage, opaque: bool
) -> None:
    bucket.opaque, bucket.spoil_put = opaque, True
    with pytest.raises(StorageUnavailable):
        s3.put("alpha/inputs/a", b"data", "image/png")
    bucket.spoil_put = False
    s3.put("alpha/inputs/a", b"data", "image/png")
    assert s3.get("alpha/inputs/a") == b"data"


def test_etags_that_are_no_digests_cost_one_read(bucket: Bucket, s3: S3Storage) -> None:
    bucket.opaque = True
    for _ in range(3):
        s3.put("alpha/inputs/a", b"data", "image/png")
    assert bucket.gets == 1


def test_bytes_that_their_etag_denies_are_an_outage(bucket: Bucket, s3: S3Storage) -> None:
    s3.put("alpha/inputs/a", b"data", "image/png")
    bucket.spoil_get = True
    with pytest.raises(StorageUnavailable):
        s3.get("alpha/inputs/a")
