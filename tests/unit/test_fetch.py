"""A photo fetched from its URL is kept for its jobs, and for nobody where they are gone."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO

import pytest

from shared.errors import StorageUnavailable
from shared.job import Input, Job, Status, new_id
from shared.queue import keys as redis_keys
from shared.queue.connection import Connection
from shared.queue.jobs import JobQueue
from shared.schema import JobRequest
from shared.storage import keys
from shared.testing import MemoryStorage
from tests.unit.test_metrics import working
from worker.job import pipeline
from worker.runtime import Runtime


class Storage(MemoryStorage):
    """One that remembers what was ever put, and that can be made to fail every deletion."""

    def __init__(self) -> None:
        super().__init__()
        self.put_ever: list[str] = []
        self.keeps = False

    def put(self, key: str, data: bytes | BinaryIO, content_type: str) -> None:
        self.put_ever.append(key)
        super().put(key, data, content_type)

    def delete(self, keys: Sequence[str]) -> None:
        if self.keeps:
            raise StorageUnavailable
        super().delete(keys)


class Web:
    """The one photo that there is on the web; `meanwhile` happens while it comes."""

    def __init__(self, photo: bytes, meanwhile: Callable[[], object]) -> None:
        self._photo = photo
        self._meanwhile = meanwhile

    def fetch(self, url: str, *, into: BinaryIO, max_bytes: int, timeout: float) -> None:  # noqa: ARG002
        self._meanwhile()
        into.write(self._photo)


class Fetching:
    """A worker about to fetch a job's photo."""

    def __init__(self, connection: Connection, sample: bytes) -> None:
        self.redis = connection.redis
        self.storage = Storage()
        self.jobs = JobQueue(connection, retention_ms=60_000)
        self.photo = Input(new_id("inp"), "shop", url="https://example.com/photo.jpg")
        self.key = keys.input_key("shop", self.photo.id)
        self.job_id = self.accept()
        self._sample = sample
        self._runtime = working(connection, self.storage)

    def accept(self) -> str:
        job = Job(new_id("job"), "shop", JobRequest(), self.photo.id, "http://here")
        return self.jobs.accept(job, self.photo).job_id

    def run(self, meanwhile: Callable[[Runtime], object] = lambda _: None) -> None:
        """Have the worker do the job; `meanwhile` happens while the photo comes."""
        web: Any = Web(self._sample, lambda: meanwhile(self._runtime))
        pipeline.process(dataclasses.replace(self._runtime, outbound=web), self.job_id)

    def cancel_and_erase(self, _: Runtime | None = None) -> None:
        self.jobs.cancel(self.job_id, "shop")
        assert self.jobs.erase(self.job_id, "shop") is not None  # nothing is stored yet


@pytest.fixture
def fetching(connection: Connection, sample: bytes) -> Fetching:
    return Fetching(connection, sample)


def test_it_is_kept_and_known(fetching: Fetching, sample: bytes) -> None:
    fetching.run()
    assert fetching.jobs.get(fetching.job_id).status is Status.SUCCEEDED
    assert fetching.storage.objects[fetching.key] == sample
    photo = fetching.jobs.input(fetching.photo.id, "shop")
    assert (photo.stored, photo.bytes, photo.pixels) == (True, len(sample), 600 * 400)


def test_of_a_job_erased_meanwhile_it_is_deleted(fetching: Fetching) -> None:
    fetching.run(fetching.cancel_and_erase)
    assert fetching.key in fetching.storage.put_ever
    assert fetching.storage.objects == {}
    assert set(fetching.redis.keys(redis_keys.EVERY_KEY)) == {redis_keys.SWEEP.key()}


def test_of_a_job_known_to_be_lost_it_is_not_even_stored(fetching: Fetching) -> None:
    def erase(runtime: Runtime) -> None:
        fetching.cancel_and_erase()
        runtime.heartbeat.look()

    fetching.run(erase)
    assert fetching.storage.put_ever == []


def test_one_that_cannot_be_deleted_is_swept(fetching: Fetching) -> None:
    fetching.storage.keeps = True
    fetching.run(fetching.cancel_and_erase)
    assert list(fetching.storage.objects) == [fetching.key]
    assert fetching.redis.zscore(redis_keys.SWEEP.key(), fetching.key)


def test_it_is_kept_for_another_job_that_uses_it(fetching: Fetching, sample: bytes) -> None:
    fetching.accept()
    fetching.run(fetching.cancel_and_erase)
    assert fetching.storage.objects == {fetching.key: sample}
    assert fetching.jobs.input(fetching.photo.id, "shop").stored
