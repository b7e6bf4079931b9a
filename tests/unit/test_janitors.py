"""Several janitors at once, under load: bells may ring twice, nothing else happens twice."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import BinaryIO

import pytest

from shared.errors import QueueUnavailable
from shared.job import Lane, Status
from shared.queue import keys as redis_keys
from shared.queue.connection import Connection
from shared.queue.jobs import JobQueue
from shared.queue.upkeep import Overdue, Upkeep
from shared.records import Records
from shared.storage import keys
from shared.testing import MemoryStorage, SilentDoorbell
from tests.unit.test_queue import DONE, RETENTION_MS, House
from worker.courier.janitor import Janitor
from worker.courier.sweeper import Sweeper

JOBS = 120
JANITORS = 6
WORKERS = 4


class CountingUpkeep(Upkeep):
    """Remembers what each look of all janitors brought."""

    poisoned: Counter[str]

    def overdue(self, limit: int = 200) -> Overdue:
        found = super().overdue(limit)
        self.poisoned.update(found.poisoned)
        return found


class CountingStorage(MemoryStorage):
    """Remembers what was stored under each key."""

    def __init__(self) -> None:
        super().__init__()
        self.stored: dict[str, set[bytes]] = {}

    def put(self, key: str, data: bytes | BinaryIO, content_type: str) -> None:
        super().put(key, data, content_type)
        self.stored.setdefault(key, set()).add(self.objects[key])


@pytest.fixture
def house(each_connection: Connection) -> House:
    return House(each_connection)


def _work(house: House, ids: Sequence[str], seed: int, finished: Counter[str]) -> None:
    """A worker that finishes some jobs, and dies with others."""
    chance = random.Random(seed)
    for _ in range(JOBS * 6):
        job_id = chance.choice(ids)
        claim = house.leases.claim(job_id, alone=True)
        if claim is None:
            continue
        if chance.random() < 0.4:
            house.redis.zadd(redis_keys.LEASED.key(), {job_id: 0}, xx=True)  # killed
        elif house.leases.finish(claim, Status.SUCCEEDED, DONE):
            finished[job_id] += 1


def _end_all(house: House, ids: Sequence[str], janitor: Janitor, finished: Counter[str]) -> None:
    """Let no more workers die."""
    for _ in range(5):
        for job_id in ids:
            claim = house.leases.claim(job_id, alone=True)
            if claim is not None and house.leases.finish(claim, Status.SUCCEEDED, DONE):
                finished[job_id] += 1
        for job_id in house.redis.zrange(redis_keys.DUE.key(), 0, -1):
            house.redis.zadd(redis_keys.DUE.key(), {job_id: 0})
        janitor.look()


def test_they_are_harmless_together(house: House) -> None:
    jobs = JobQueue(house.connection, retention_ms=RETENTION_MS)
    storage, doorbell = CountingStorage(), SilentDoorbell()
    ids = [house.accept() for _ in range(JOBS)]
    inputs = {job_id: jobs.get(job_id).input_id for job_id in ids}
    for job_id in ids:
        storage.put(keys.input_key("shop", inputs[job_id]), b"photo", "")
    upkeep = CountingUpkeep(house.connection, max_attempts=3, retention_ms=RETENTION_MS)
    upkeep.poisoned = Counter()
    finished: Counter[str] = Counter()
    failures: list[BaseException] = []
    over = threading.Event()

    def tidy() -> None:
        janitor, sweeper = Janitor(upkeep, jobs, doorbell), Sweeper(upkeep, jobs, storage)
        try:
            while not over.is_set():
                janitor.look()
                sweeper.clear()
                for job_id in house.redis.zrange(redis_keys.EXPIRY.key(), 0, 2):
                    if "/" not in job_id:  # its day has come
                        house.redis.zadd(redis_keys.EXPIRY.key(), {job_id: 0}, xx=True)
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    janitors = [threading.Thread(target=tidy) for _ in range(JANITORS)]
    workers = [
        threading.Thread(target=_work, args=(house, ids, seed, finished)) for seed in range(WORKERS)
    ]
    for thread in janitors + workers:
        thread.start()
    for thread in workers:
        thread.join()
    over.set()
    for thread in janitors:
        thread.join()
    assert failures == []

    _end_all(house, ids, Janitor(upkeep, jobs, doorbell), finished)

    ends = finished + upkeep.poisoned
    assert set(ends) == set(ids)
    assert set(ends.values()) == {1}, "a job ended twice"
    assert upkeep.poisoned, "no job was poisoned: the load is too light"
    assert max(Counter(job_id for job_id, _ in doorbell.rung).values()) < 20
    assert {lane for _, lane in doorbell.rung} <= {Lane.INTERACTIVE, Lane.RECLAIMED}
    assert house.redis.hgetall(redis_keys.QUEUED.key()) == {}

    records = Records(jobs, storage)
    archives = {key for key in storage.stored if key.endswith("/job.json")}
    assert archives, "no job was archived: the load is too light"
    assert all(len(storage.stored[key]) == 1 for key in archives)  # the same bytes, if twice
    for job_id in ids:
        status = records.get(job_id, "shop").status
        assert status is (Status.FAILED if upkeep.poisoned[job_id] else Status.SUCCEEDED)
        assert house.redis.hget(redis_keys.INPUT.key(inputs[job_id]), "refs") == "1"
        assert storage.objects[keys.input_key("shop", inputs[job_id])] == b"photo"


class Outage(Upkeep):
    """An upkeep whose Redis can be away."""

    def __init__(self, upkeep: Upkeep) -> None:
        vars(self).update(vars(upkeep))
        self.away = False

    def ping(self) -> None:
        if self.away:
            raise QueueUnavailable

    def overdue(self, limit: int = 200) -> Overdue:
        self.ping()
        return super().overdue(limit)


def test_a_lease_that_ran_out_while_redis_was_away_is_its_workers_to_renew(
    connection: Connection,
) -> None:
    house = House(connection)
    upkeep = Outage(house.upkeep)
    janitor = Janitor(upkeep, house.jobs, SilentDoorbell(), patience=0.5)
    claim = house.claim(house.accept())
    upkeep.away = True
    for _ in range(2):
        with pytest.raises(QueueUnavailable):
            janitor.look()
    house.make_due(claim.job.id)
    upkeep.away = False
    janitor.look()
    assert not house.leases.renew([claim])  # it was not taken away
    janitor.look()
    house.make_due(claim.job.id)  # and its worker dies
    time.sleep(0.6)
    janitor.look()
    assert house.leases.lost([claim])
