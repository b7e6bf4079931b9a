"""An upload that is replaced after its first use changes nothing, for its own tenant or another."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from moto.server import ThreadedMotoServer

from nukki.redis_server import free_port
from shared.job import Status
from shared.queue import keys as redis_keys
from shared.queue.connection import Connection
from shared.storage import LocalStorage, S3Storage, Storage, keys
from tests.api.conftest import another_client, assert_problem
from tests.hostile.site import ALPHA, BETA, Site, box_of, photo

LENGTH = 20_000
X_BOX, Y_BOX = (100, 100, 500, 300), (20, 20, 320, 220)
X, Y = photo(X_BOX, length=LENGTH), photo(Y_BOX, length=LENGTH)


@pytest.fixture(scope="module")
def bucket() -> Iterator[S3Storage]:
    server = ThreadedMotoServer("127.0.0.1", free_port(), verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    storage = S3Storage(
        "nukki-hostile",
        endpoint=f"http://{host}:{port}",
        access_key="key",
        secret_key="secret",
    )
    storage._client.create_bucket(Bucket="nukki-hostile")
    yield storage
    server.stop()


@pytest.fixture(params=["local", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "local":
        return LocalStorage(tmp_path / "storage")
    s3: Storage = request.getfixturevalue("bucket")
    return s3


@pytest.fixture
def site(connection: Connection, storage: Storage) -> Iterator[Site]:
    made = Site(connection, storage)
    yield made
    made.close()


def put(site: Site, url: str, data: bytes) -> int:
    """PUT as the upload's owner: to our own address, or to S3's."""
    headers = {"Content-Type": "application/octet-stream"}
    if url.startswith("http://localhost/"):
        return int(site.client.put(url, data=data, headers=headers).status_code)
    return httpx.put(url, content=data, headers=headers).status_code


def replace(site: Site, url: str, data: bytes) -> None:
    """PUT to an upload that is used: refused by us, and of no effect on S3."""
    if isinstance(site.storage, LocalStorage):
        assert_problem(site.client.put(url, data=data), 409, "upload_sealed")
    else:
        assert put(site, url, data) == 200


def test_a_second_job_on_it_gets_the_first_ones_bytes(site: Site) -> None:
    upload = site.upload(ALPHA, LENGTH)
    assert put(site, upload["url"], X) == 200
    first = site.cut(ALPHA, upload=upload["id"])
    replace(site, upload["url"], Y)
    again = [
        site.cut(ALPHA, upload=upload["id"]),
        site.cut(ALPHA, job=first.id),
        site.cut(ALPHA, job=first.id, prompt={"mask": first.id}),
        site.cut(ALPHA, render=first.id),
    ]
    assert {box_of(job) for job in again} == {box_of(first)} == {X_BOX}
    assert site.stored(first) == X
    site.require_honest(first)


def test_a_job_that_still_waits_gets_the_bytes_it_was_accepted_with(site: Site) -> None:
    upload = site.upload(ALPHA, LENGTH)
    put(site, upload["url"], X)
    job_id = site.submit(ALPHA, upload=upload["id"]).json["id"]
    replace(site, upload["url"], Y)
    assert box_of(site.work(job_id)) == X_BOX


def test_a_background_keeps_its_bytes(site: Site) -> None:
    upload = site.upload(ALPHA, LENGTH)
    put(site, upload["url"], X)
    output = {"background": {"upload": upload["id"]}}
    before = site.cut(ALPHA, X, output=output)
    replace(site, upload["url"], Y)
    after = site.cut(ALPHA, X, output=output)
    assert before.outcome is not None
    assert after.outcome is not None
    assert before.outcome.result == after.outcome.result


def test_a_repeated_request_is_the_first_ones_job(site: Site) -> None:
    upload = site.upload(ALPHA, LENGTH)
    put(site, upload["url"], X)
    keyed = ALPHA | {"Idempotency-Key": "one"}
    first = site.submit(keyed, upload=upload["id"])
    replace(site, upload["url"], Y)
    again = site.submit(keyed, upload=upload["id"])
    assert (again.json["id"], again.headers["Idempotent-Replayed"]) == (first.json["id"], "true")


def test_a_refused_job_seals_it_too(site: Site) -> None:
    upload = site.upload(ALPHA, LENGTH)
    put(site, upload["url"], X)
    refused = site.submit(ALPHA, upload=upload["id"], prompt={"points": [[9999, 1]]})
    assert refused.status_code == 422
    replace(site, upload["url"], Y)
    assert box_of(site.cut(ALPHA, upload=upload["id"])) == X_BOX


def test_another_tenants_result_stays_the_same(site: Site) -> None:
    honest = site.cut(BETA, X)
    upload = site.upload(ALPHA, LENGTH)
    put(site, upload["url"], X)
    first = site.cut(ALPHA, upload=upload["id"])
    replace(site, upload["url"], Y)
    for key in (keys.upload_key, keys.input_key):  # however it got there
        site.storage.put(key("alpha", upload["id"]), Y, "")
    site.runtime.engine.cache.drop(site.jobs.input(first.input_id, "alpha").digest or "")
    told = site.submit(ALPHA, job=first.id).json["id"]
    assert site.work(told).status is Status.QUEUED  # as long as the storage gives other bytes
    assert box_of(site.cut(BETA, X)) == box_of(honest) == X_BOX


def test_a_digest_on_record_is_not_believed(site: Site) -> None:
    mine, theirs = site.cut(ALPHA, Y), site.cut(BETA, X)
    digest = site.jobs.input(theirs.input_id, "beta").digest or ""
    site.runtime.engine.cache.drop(digest)
    site.redis.hset(redis_keys.INPUT.key(mine.input_id), "digest", digest)
    told = site.submit(ALPHA, job=mine.id).json["id"]
    assert site.work(told).status is Status.QUEUED
    assert digest not in site.runtime.engine.cache
    assert box_of(site.cut(BETA, X)) == X_BOX


def test_too_few_pixels_on_record_reserve_too_little_only_once(site: Site) -> None:
    first = site.cut(ALPHA, X)
    record = redis_keys.INPUT.key(first.input_id)
    site.redis.hset(record, "pixels", 1)
    told = site.submit(ALPHA, job=first.id).json["id"]
    assert site.work(told).status is Status.QUEUED
    site.require_honest(first)
    done = site.work(told)
    assert (done.status, done.attempts) == (Status.SUCCEEDED, 1)


def test_puts_during_submits_leave_one_photo_for_all_jobs(site: Site) -> None:
    """Whichever version the first job found, every job has that one."""
    upload = site.upload(ALPHA, LENGTH)
    assert put(site, upload["url"], X) == 200
    done = threading.Event()

    def keep_putting() -> None:
        other = another_client(site.client.application)
        number = 0
        while not done.is_set():
            number += 1
            data = Y if number % 2 else X
            if upload["url"].startswith("http://localhost/"):
                other.put(upload["url"], data=data)
            else:
                put(site, upload["url"], data)

    putting = threading.Thread(target=keep_putting)
    putting.start()
    try:
        answers = [site.submit(ALPHA, upload=upload["id"]) for _ in range(6)]
    finally:
        done.set()
        putting.join()
    ids = [answer.json["id"] for answer in answers if answer.status_code == 202]
    assert all(answer.status_code in {202, 422} for answer in answers)
    boxes = {box_of(site.work(job_id)) for job_id in ids}
    assert len(boxes) <= 1
    for job_id in ids:
        site.require_honest(site.jobs.get(job_id))
