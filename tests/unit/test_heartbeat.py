"""The heartbeat on a real Redis, driven by calls of `beat` or short intervals."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from shared.errors import LeaseLost, QueueUnavailable
from shared.job import Input, Job, new_id
from shared.queue import keys as redis_keys
from shared.queue.connection import Connection
from shared.queue.jobs import JobQueue
from shared.queue.leases import Claim, LeaseTable
from shared.queue.workers import WorkerInfo, WorkerRoll
from shared.schema import JobRequest
from shared.testing import RedisProcess
from worker.heartbeat import Heartbeat

ME = WorkerInfo("worker@here", "simulated", "cpu", 4)
LEASE_MS = 600


class Ward:
    """A heartbeat, and the queue around it."""

    def __init__(self, connection: Connection) -> None:
        self.redis = connection.redis
        self.jobs = JobQueue(connection, retention_ms=60_000)
        self.leases = LeaseTable(connection, worker=ME.name, lease_ms=LEASE_MS, retention_ms=60_000)
        self.roll = WorkerRoll(connection)
        self.hung = 0
        self.heartbeat = Heartbeat(
            self.leases, self.roll, ME, lease_seconds=LEASE_MS / 1000, on_hung=self._on_hung
        )

    def _on_hung(self) -> None:
        self.hung += 1

    def claim(self) -> Claim:
        photo = Input(new_id("inp"), "shop", stored=True, digest="d" * 64, bytes=3)
        self.jobs.note_input(photo.id, "shop", expiry_ms=60_000)
        job = Job(new_id("job"), "shop", JobRequest(), photo.id, "http://here")
        claim = self.leases.claim(self.jobs.accept(job, photo).job_id)
        assert claim is not None
        return claim

    def due(self, claim: Claim) -> float:
        """When the janitor would take the job back, in ms."""
        return float(self.redis.zscore(redis_keys.LEASED.key(), claim.job.id))


@pytest.fixture
def ward(connection: Connection) -> Ward:
    return Ward(connection)


@pytest.fixture
def beating(ward: Ward) -> Iterator[Ward]:
    ward.heartbeat.start()
    yield ward
    ward.heartbeat.stop()


def eventually(true: Callable[[], object], within: float = 5.0) -> None:
    deadline = time.monotonic() + within
    while not true():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.01)


def test_a_beat_renews_the_held_leases(ward: Ward) -> None:
    claims = [ward.claim(), ward.claim()]
    with ward.heartbeat.holding(claims[0]), ward.heartbeat.holding(claims[1]):
        before = [ward.due(claim) for claim in claims]
        time.sleep(0.02)
        ward.heartbeat.beat()
        assert all(ward.due(claim) > then for claim, then in zip(claims, before, strict=True))


def test_a_released_lease_is_not_renewed(ward: Ward) -> None:
    claim = ward.claim()
    with ward.heartbeat.holding(claim):
        pass
    before = ward.due(claim)
    time.sleep(0.02)
    ward.heartbeat.beat()
    assert ward.due(claim) == before


def test_a_lease_is_released_however_the_work_ends(ward: Ward) -> None:
    with pytest.raises(RuntimeError), ward.heartbeat.holding(ward.claim()):
        raise RuntimeError
    assert ward.heartbeat.held() == []


def test_a_lease_outlasts_its_length_while_it_is_held(beating: Ward) -> None:
    claim = beating.claim()
    with beating.heartbeat.holding(claim) as lease:
        time.sleep(2 * LEASE_MS / 1000)
        assert not beating.leases.lost([claim])
        assert beating.due(claim) > time.time() * 1000
        lease.require()


def test_a_lost_lease_is_noticed(ward: Ward) -> None:
    claim = ward.claim()
    with ward.heartbeat.holding(claim) as lease:
        ward.jobs.cancel(claim.job.id, "shop")
        ward.heartbeat.beat()
        with pytest.raises(LeaseLost):
            lease.require()


def test_a_lost_lease_stays_lost(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    claim = ward.claim()
    with ward.heartbeat.holding(claim) as lease:
        ward.jobs.cancel(claim.job.id, "shop")
        ward.heartbeat.beat()
        monkeypatch.setattr(ward.leases, "renew", lambda _: frozenset())
        ward.heartbeat.beat()
        assert lease.lost


def test_one_lost_lease_leaves_the_others(ward: Ward) -> None:
    lost, kept = ward.claim(), ward.claim()
    with ward.heartbeat.holding(lost), ward.heartbeat.holding(kept) as lease:
        ward.jobs.erase(lost.job.id, "shop")
        ward.heartbeat.beat()
        lease.require()
        assert [item.lost for item in ward.heartbeat.held()] == [True, False]


def test_a_hung_stage_is_reported_and_no_lease_renewed(ward: Ward) -> None:
    hung, other = ward.claim(), ward.claim()
    with ward.heartbeat.holding(hung) as lease, ward.heartbeat.holding(other):
        lease.stage, lease.deadline = "store", time.monotonic() - 0.001
        before = ward.due(hung), ward.due(other)
        time.sleep(0.02)
        ward.heartbeat.beat()
        assert ward.hung == 1
        assert (ward.due(hung), ward.due(other)) == before


def test_a_stage_within_its_deadline_is_left_alone(ward: Ward) -> None:
    with ward.heartbeat.holding(ward.claim()) as lease:
        lease.deadline = time.monotonic() + 60
        ward.heartbeat.beat()
    assert ward.hung == 0


def test_a_stage_that_hangs_is_noticed_while_beating(beating: Ward) -> None:
    with beating.heartbeat.holding(beating.claim()) as lease:
        lease.deadline = time.monotonic() + 0.1
        eventually(lambda: beating.hung)


def test_a_worker_is_on_the_roll_from_its_start(ward: Ward) -> None:
    assert ward.roll.present() == []
    ward.heartbeat.start()
    eventually(ward.roll.present)
    assert ward.roll.present() == [ME]
    ward.heartbeat.stop()


def test_a_worker_that_stops_leaves_the_roll(beating: Ward) -> None:
    eventually(beating.roll.present)
    beating.heartbeat.stop()
    assert beating.roll.present() == []


def test_after_its_stop_a_worker_does_not_come_back(ward: Ward) -> None:
    ward.heartbeat.start()
    eventually(ward.roll.present)
    ward.heartbeat.stop()
    time.sleep(LEASE_MS / 1000)
    assert ward.roll.present() == []


def test_the_heartbeat_survives_a_redis_outage(own_redis: RedisProcess) -> None:
    connection = Connection(own_redis.url)
    ward = Ward(connection)
    ward.heartbeat.start()
    claim = ward.claim()
    with ward.heartbeat.holding(claim) as lease:
        own_redis.kill()
        with pytest.raises(QueueUnavailable):
            ward.heartbeat.beat()
        time.sleep(0.5)
        own_redis.start()
        before = time.time() * 1000
        eventually(lambda: ward.due(claim) > before + LEASE_MS / 2)
        lease.require()
        assert ward.hung == 0
        assert ward.roll.present() == [ME]
    ward.heartbeat.stop()
    connection.close()


def test_a_stop_without_redis_is_no_error(own_redis: RedisProcess) -> None:
    connection = Connection(own_redis.url)
    ward = Ward(connection)
    ward.heartbeat.start()
    own_redis.kill()
    ward.heartbeat.stop()
    connection.close()


def test_an_unexpected_error_does_not_end_the_beating(
    beating: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        tried: list[int] = []

        def fail(_: object) -> frozenset[str]:
            tried.append(1)
            raise RuntimeError("unexpected")

        broken.setattr(beating.leases, "renew", fail)
        eventually(lambda: tried)
    claim = beating.claim()
    with beating.heartbeat.holding(claim):
        before = beating.due(claim)
        eventually(lambda: beating.due(claim) > before)
