"""The sweeper deletes due files in concurrent batches and blocks nothing else."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import pytest

from shared.queue import keys as redis_keys
from shared.queue.connection import Connection
from shared.settings import CourierSettings
from shared.testing import MemoryStorage, RedisProcess
from tests.unit.test_queue import House
from worker.courier import rounds as courier
from worker.courier.sweeper import Sweeper

NAMES = 250  # more than two batches


class SlowStorage(MemoryStorage):
    """A storage with slow deletions, which it counts."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.most = 0
        self._now = 0
        self._lock = threading.Lock()

    def delete(self, keys: Sequence[str]) -> None:
        with self._lock:
            self.asked += 1
            self._now += 1
            self.most = max(self.most, self._now)
        time.sleep(0.002)
        try:
            super().delete(keys)
        finally:
            with self._lock:
                self._now -= 1


class HungStorage(MemoryStorage):
    """A storage whose deletions hang until `go_on` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.go_on = threading.Event(), threading.Event()

    def delete(self, keys: Sequence[str]) -> None:
        self.asked.set()
        self.go_on.wait()
        super().delete(keys)


@pytest.fixture
def house(connection: Connection) -> House:
    return House(connection)


def note(house: House, storage: MemoryStorage) -> None:
    """Store NAMES files, all due to be swept."""
    names = [f"shop/inputs/inp_{number}" for number in range(NAMES)]
    house.redis.zadd(redis_keys.SWEEP.key(), dict.fromkeys(names, 1))
    storage.objects.update(dict.fromkeys(names, b"photo"))


def test_a_batch_is_deleted_concurrently(house: House) -> None:
    storage = SlowStorage()
    note(house, storage)
    sweeper = Sweeper(house.upkeep, house.jobs, storage)
    assert [sweeper.clear() for _ in range(4)] == [100, 100, 50, 0]
    assert storage.objects == {}
    assert house.redis.zcard(redis_keys.SWEEP.key()) == 0
    assert storage.most > 1


def test_few_deletions_are_tried_while_storage_is_down(house: House) -> None:
    storage = SlowStorage()
    note(house, storage)
    storage.down = True
    sweeper = Sweeper(house.upkeep, house.jobs, storage)
    assert sweeper.clear() == 0
    assert storage.asked < 20
    storage.down = False
    for name in house.redis.zrange(redis_keys.SWEEP.key(), 0, -1):  # a minute later
        house.redis.zadd(redis_keys.SWEEP.key(), {name: 1})
    while sweeper.clear():
        pass
    assert storage.objects == {}


def test_expired_leases_are_returned_while_storage_hangs(
    connection: Connection,
    shared_redis: RedisProcess,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    house, storage = House(connection), HungStorage()
    note(house, storage)
    claim = house.claim(house.accept())
    monkeypatch.setattr(courier, "open_storage", lambda _: storage)
    running = courier.Courier(CourierSettings.load(redis_url=shared_redis.url))
    thread = threading.Thread(target=running.run)
    thread.start()
    try:
        assert storage.asked.wait(10)
        house.make_due(claim.job.id)  # as if its worker had died
        deadline = time.monotonic() + 10
        while not house.leases.lost([claim]):
            assert time.monotonic() < deadline, "the dead worker's lease was not returned"
            time.sleep(0.05)
    finally:
        running.stop()
        storage.go_on.set()
        thread.join()
