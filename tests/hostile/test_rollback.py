"""Redis is rolled back to a state that remembers what was erased since."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import redis

from shared.errors import StorageUnavailable
from shared.queue.connection import Connection
from shared.queue.forgotten import Forgotten, Place
from shared.queue.jobs import JobQueue
from shared.queue.leases import LeaseTable
from shared.records import Records
from shared.storage import Stored, keys
from shared.testing import MemoryStorage, RedisProcess
from tests.api.conftest import (
    Clear,
    Client,
    Finish,
    accepted,
    assert_problem,
    left,
    submit,
)
from worker.courier.reconcile import Reconcile
from worker.courier.tombstones import Tombstones

Remember = Callable[[], Callable[[], None]]


class _Forgotten(Forgotten):
    """A Redis whose process can be another one."""

    process = "first"

    def run_id(self) -> str:
        return self.process


@pytest.fixture
def forgotten(connection: Connection) -> _Forgotten:
    return _Forgotten(connection, retention_ms=60_000)


@pytest.fixture
def tombstones(forgotten: _Forgotten, jobs: JobQueue, storage: MemoryStorage) -> Tombstones:
    made = Tombstones(forgotten, Records(jobs, storage), storage)
    made.apply()
    return made


@pytest.fixture
def remember(shared_redis: RedisProcess, forgotten: _Forgotten) -> Iterator[Remember]:
    """Remember the state of Redis; what it returns restarts Redis from that state."""
    raw: Any = redis.Redis.from_url(shared_redis.url)

    def save() -> Callable[[], None]:
        dumps = {name: raw.dump(name) for name in raw.keys("*")}

        def roll_back() -> None:
            raw.flushall()
            for name, dump in dumps.items():
                raw.restore(name, 0, dump)
            forgotten.process = "second"

        return roll_back

    yield save
    raw.close()


@dataclass(frozen=True, slots=True)
class Service:
    """The API, what its courier does against rollbacks, and a way to roll Redis back."""

    client: Client
    storage: MemoryStorage
    tombstones: Tombstones
    remember: Remember
    clear: Clear


@pytest.fixture
def service(
    client: Client, storage: MemoryStorage, tombstones: Tombstones, remember: Remember, clear: Clear
) -> Service:
    return Service(client, storage, tombstones, remember, clear)


def test_an_erased_job_stays_erased(service: Service, sample: bytes) -> None:
    job_id = accepted(submit(service.client, sample))
    other = accepted(submit(service.client, sample))
    roll_back = service.remember()
    service.client.delete(f"/v1/jobs/{job_id}")
    roll_back()
    assert service.client.get(f"/v1/jobs/{job_id}").json["status"] == "queued"
    service.tombstones.apply()
    assert_problem(service.client.get(f"/v1/jobs/{job_id}"), 404, "not_found")
    assert service.client.get(f"/v1/jobs/{other}").json["status"] == "queued"
    service.clear()
    assert list(left(service.storage).values()) == [sample]


def test_a_job_erased_before_it_ran_is_not_run(
    service: Service, sample: bytes, leases: LeaseTable
) -> None:
    job_id = accepted(submit(service.client, sample))
    roll_back = service.remember()
    service.client.delete(f"/v1/jobs/{job_id}")
    roll_back()
    service.tombstones.apply()
    assert leases.claim(job_id) is None


def test_a_finished_job_stays_erased(service: Service, sample: bytes, finish: Finish) -> None:
    job_id = accepted(submit(service.client, sample))
    finish(job_id)
    roll_back = service.remember()
    service.client.delete(f"/v1/jobs/{job_id}")
    roll_back()
    service.tombstones.apply()
    assert_problem(service.client.get(f"/v1/jobs/{job_id}/result"), 404, "not_found")
    service.clear()
    assert left(service.storage) == {}


def test_tombstones_are_compared_once_per_redis_process(
    service: Service, sample: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.client.delete(f"/v1/jobs/{accepted(submit(service.client, sample))}")
    walks, walk = [], service.storage.walk

    def counted(after: str) -> Iterator[Stored]:
        walks.append(after)
        return walk(after)

    monkeypatch.setattr(service.storage, "walk", counted)
    service.tombstones.apply()
    assert walks == []
    service.remember()()
    service.tombstones.apply()
    service.tombstones.apply()
    assert len(walks) == 1


def test_a_storage_outage_delays_them(service: Service, sample: bytes) -> None:
    job_id = accepted(submit(service.client, sample))
    roll_back = service.remember()
    service.client.delete(f"/v1/jobs/{job_id}")
    roll_back()
    service.storage.down = True
    with pytest.raises(StorageUnavailable):
        service.tombstones.apply()
    service.storage.down = False
    service.tombstones.apply()
    assert_problem(service.client.get(f"/v1/jobs/{job_id}"), 404, "not_found")


def test_an_old_tombstone_is_swept(
    service: Service, sample: bytes, jobs: JobQueue, forgotten: _Forgotten
) -> None:
    job_id = accepted(submit(service.client, sample))
    service.client.delete(f"/v1/jobs/{job_id}")
    service.clear()
    assert list(service.storage.objects) == [keys.erased_key("default", job_id)]
    walk = Reconcile(
        forgotten, Records(jobs, service.storage), service.storage, retention_ms=60_000
    )
    for _ in range(4):  # both passes
        walk.step()
    service.clear()
    assert list(service.storage.objects) == [keys.erased_key("default", job_id)]
    service.storage.age = 3600
    forgotten.keep(Place())  # it rested
    for _ in range(4):
        walk.step()
    service.clear()
    assert service.storage.objects == {}
