"""Prometheus metrics of jobs, device, webhooks and queue, also while Redis is down."""

from __future__ import annotations

import dataclasses
import socket
import time
from collections.abc import Callable

import httpx
import pytest
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest

from nukki.redis_server import free_port
from shared import metrics
from shared.errors import ConfigError, SegmenterFailed, StorageUnavailable
from shared.job import Input, Job, Lane, Status, new_id
from shared.metrics.courier import count_attempt
from shared.metrics.jobs import count_end
from shared.metrics.queue import QueueCollector
from shared.metrics.worker import PERMITS, device_at_work, watch_in_flight
from shared.queue import keys as redis_keys
from shared.queue.connection import Connection
from shared.queue.deliveries import DeliveryState
from shared.queue.doorbell import make_celery
from shared.queue.jobs import JobQueue
from shared.queue.lanes import DepthReader, LaneDepth
from shared.queue.leases import LeaseTable
from shared.queue.times import RING_MS
from shared.queue.upkeep import Upkeep
from shared.queue.workers import WorkerInfo
from shared.schema import JobRequest
from shared.settings import WorkerSettings
from shared.testing import MemoryStorage, RedisProcess, SilentDoorbell
from tests.decoding import decoders
from tests.metrics import Scrape
from tests.simulated import SimulatedSegmenter
from worker.__main__ import build
from worker.courier.janitor import Janitor
from worker.job import pipeline
from worker.runtime import Runtime

PARENT = "job_" + "0" * 24


def scrape() -> Scrape:
    return Scrape(generate_latest(REGISTRY).decode())


def job(lane: Lane = Lane.BULK, **request: object) -> Job:
    return Job(new_id("job"), "shop", JobRequest.model_validate(request), "inp", "", lane=lane)


def accept(connection: Connection, **request: object) -> str:
    jobs = JobQueue(connection, retention_ms=60_000)
    photo = Input(new_id("inp"), "shop", stored=True, digest="d" * 64, bytes=3)
    jobs.note_input(photo.id, "shop", expiry_ms=60_000)
    made = Job(new_id("job"), "shop", JobRequest.model_validate(request), photo.id, "")
    return jobs.accept(made, photo).job_id


# Jobs


@pytest.mark.parametrize(
    ("request_", "served", "shown"),
    [
        ({}, "sam2.1_hiera_tiny", "sam2.1_hiera_tiny"),
        ({"model": "grabcut"}, None, "grabcut"),
        ({}, None, "any"),
        ({"render": PARENT}, "grabcut", "none"),
    ],
)
def test_a_job_is_counted_by_state_model_and_lane(
    request_: dict[str, object], served: str | None, shown: str
) -> None:
    before = scrape()
    count_end(job(Lane.RECLAIMED, **request_), Status.FAILED, model=served)
    labels = {"state": "failed", "model": shown, "lane": "reclaimed"}
    assert scrape().since(before, "nukki_jobs_total", **labels) == 1


def test_stage_metrics_equal_the_jobs_timings() -> None:
    before = scrape()
    count_end(job(), Status.SUCCEEDED, model="x", timings_ms={"decode": 30.5, "total": 250.0})
    after = scrape()
    name = "nukki_stage_seconds"
    assert after.since(before, f"{name}_sum", stage="decode") == pytest.approx(0.0305)
    assert after.since(before, f"{name}_count", stage="decode") == 1
    assert after.since(before, f"{name}_bucket", stage="decode", le="0.025") == 0
    assert after.since(before, f"{name}_bucket", stage="decode", le="0.05") == 1
    assert after.since(before, f"{name}_sum", stage="total") == pytest.approx(0.25)
    assert after.since(before, f"{name}_count", stage="store") == 0


def test_a_poisoned_job_is_counted_by_the_janitor(connection: Connection) -> None:
    job_id = accept(connection, priority="bulk")
    dying = LeaseTable(connection, worker="dying", lease_ms=1, retention_ms=60_000)
    upkeep = Upkeep(connection, max_attempts=1, retention_ms=60_000)
    jobs = JobQueue(connection, retention_ms=60_000)
    janitor = Janitor(upkeep, jobs, SilentDoorbell())
    before = scrape()
    for _ in range(3):  # in a batch, then alone; the third look must count nothing
        dying.claim(job_id, alone=True)
        time.sleep(0.01)
        janitor.look()
    labels = {"state": "failed", "model": "any", "lane": "reclaimed"}
    assert scrape().since(before, "nukki_jobs_total", **labels) == 1


def test_a_job_failed_by_a_storage_outage_is_counted(connection: Connection) -> None:
    before, runtime = scrape(), working(connection, MemoryStorage())
    runtime.storage.down = True  # type: ignore[attr-defined]
    job_id = accept(connection)
    pipeline.process(runtime, job_id)
    assert JobQueue(connection, retention_ms=60_000).get(job_id).status is Status.FAILED
    after = scrape()
    labels = {"state": "failed", "model": "simulated", "lane": "interactive"}
    assert after.since(before, "nukki_jobs_total", **labels) == 1
    assert after.since(before, "nukki_stage_seconds_count", stage="fetch") == 1
    assert after.since(before, "nukki_lease_losses_total") == 0


@pytest.mark.parametrize("error", [StorageUnavailable, SegmenterFailed])
def test_a_job_canceled_while_it_fails_counts_as_a_lost_lease(
    connection: Connection, error: type[Exception]
) -> None:
    class Meanwhile(MemoryStorage):
        def get(self, key: str, *, limit: int | None = None) -> bytes:  # noqa: ARG002
            JobQueue(connection, retention_ms=60_000).cancel(job_id, "shop")
            raise error

    before, job_id = scrape(), accept(connection)
    pipeline.process(working(connection, Meanwhile()), job_id)
    after = scrape()
    assert after.since(before, "nukki_lease_losses_total") == 1
    for labels in after.labels("nukki_jobs_total"):
        assert after.since(before, "nukki_jobs_total", **labels) == 0


def working(connection: Connection, storage: MemoryStorage) -> Runtime:
    """A worker's runtime on this Redis and storage, with a storage timeout of zero."""
    options = connection.redis.connection_pool.connection_kwargs
    url = f"redis://{options['host']}:{options['port']}/0"
    settings = WorkerSettings.load(redis_url=url, storage_patience=0)
    me = WorkerInfo("one", "simulated", "cpu", threads=1)
    runtime = build(settings, make_celery(settings), SimulatedSegmenter(), me)
    return dataclasses.replace(runtime, storage=storage, decoders=decoders())


# The device


def _spin() -> None:
    until = time.thread_time() + 0.05
    while time.thread_time() < until:
        pass


@pytest.mark.parametrize(("step", "stage"), [("encode", "encode"), ("decode", "segment")])
@pytest.mark.parametrize(("work", "cpu"), [(_spin, 0.05), (lambda: time.sleep(0.05), 0.0)])
def test_a_device_call_records_batch_size_duration_and_cpu_time(
    step: str, stage: str, work: Callable[[], None], cpu: float
) -> None:
    before = scrape()
    with device_at_work(step, 3):  # type: ignore[arg-type]
        work()
    after = scrape()
    assert after.since(before, "nukki_batch_size_count", step=step) == 1
    assert after.since(before, "nukki_batch_size_sum", step=step) == 3
    assert after.since(before, "nukki_device_busy_seconds_total") >= 0.05
    spent = after.since(before, "nukki_stage_cpu_seconds_total", stage=stage)
    assert spent == pytest.approx(cpu, abs=0.02)


def test_a_failed_device_call_counts_as_busy_time() -> None:
    def fail() -> None:
        time.sleep(0.02)
        raise ZeroDivisionError

    before = scrape()
    with pytest.raises(ZeroDivisionError), device_at_work("encode", 1):
        fail()
    assert scrape().since(before, "nukki_device_busy_seconds_total") >= 0.02


def test_the_in_flight_gauge_is_read_at_scrape_time() -> None:
    held = [0]
    watch_in_flight(lambda: held[0], lambda: 400_000_000)
    try:
        held[0] = 24_000_000
        shown = scrape()
        assert shown.value("nukki_permits_megapixels", state="held") == 24
        assert shown.value("nukki_permits_megapixels", state="limit") == 400
    finally:
        PERMITS.clear()


# Webhooks


@pytest.mark.parametrize("state", DeliveryState)
def test_a_webhook_attempt_is_counted_by_outcome(state: DeliveryState) -> None:
    shown = {"pending": "retry"}.get(state.value, state.value)
    before = scrape()
    count_attempt(state)
    assert scrape().since(before, "nukki_webhook_attempts_total", outcome=shown) == 1


# The queue


def test_the_backlog_is_reported_by_lane(each_connection: Connection) -> None:
    kinds: list[dict[str, object]] = [{}, {}, {"priority": "bulk"}, {"render": PARENT}]
    accepted = [accept(each_connection, **kind) for kind in kinds]
    worker = LeaseTable(each_connection, worker="one", lease_ms=30_000, retention_ms=60_000)
    assert worker.claim(accepted[3])
    backlog = DepthReader(each_connection).read()
    depths = {lane.value: found.depth for lane, found in backlog.lanes.items()}
    assert depths == {"reclaimed": 0, "interactive": 2, "bulk": 1, "render": 0}
    assert backlog.unfinished == 4
    assert (backlog.overdue, backlog.webhooks) == (0, 0)


def test_the_age_of_the_oldest_job_uses_the_clock_of_redis(
    each_connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    redis = each_connection.redis
    seconds, micros = redis.time()
    now = seconds * 1_000_000 + micros
    ages = {"first": 90.0, "second": 5.0}
    entries = {name: now - int(age * 1e6) for name, age in ages.items()}
    redis.zadd(redis_keys.LANE.key("bulk"), entries)
    redis.zadd(redis_keys.LANE.key("render"), {"from a clock set back": now + 60_000_000})
    monkeypatch.setattr(time, "time", lambda: 0.0)
    lanes = DepthReader(each_connection).read().lanes
    assert lanes[Lane.BULK].depth == 2
    assert lanes[Lane.BULK].oldest_seconds == pytest.approx(90, abs=2)
    assert lanes[Lane.RENDER].oldest_seconds == 0
    assert lanes[Lane.INTERACTIVE] == LaneDepth(0, 0.0)


def test_a_job_the_janitor_missed_is_overdue(connection: Connection) -> None:
    first, second = accept(connection), accept(connection)
    due = connection.redis.zscore(redis_keys.DUE.key(), first)
    connection.redis.zadd(redis_keys.DUE.key(), {first: due - 10 * RING_MS})
    backlog = DepthReader(connection).read()
    assert (backlog.unfinished, backlog.overdue) == (2, 1)
    assert second


def test_the_collector_exports_the_backlog(connection: Connection) -> None:
    accept(connection, webhook={"url": "https://shop.example/hook"})
    canceled = accept(connection, webhook={"url": "https://shop.example/hook"})
    jobs = JobQueue(connection, retention_ms=60_000)
    jobs.cancel(canceled, "shop")
    shown = collected(connection)
    assert shown.value("nukki_up", part="redis") == 1
    assert shown.value("nukki_queue_depth", lane="interactive") == 1
    assert shown.value("nukki_queue_depth", lane="bulk") == 0
    oldest = shown.value("nukki_queue_oldest_seconds", lane="interactive")
    assert oldest is not None
    assert 0 < oldest < 60
    assert shown.value("nukki_jobs_unfinished") == 1
    assert shown.value("nukki_jobs_overdue") == 0
    assert shown.value("nukki_webhooks_pending") == 1


def test_with_redis_down_only_the_up_gauge_is_exported(own_redis: RedisProcess) -> None:
    connection = Connection(own_redis.url)
    assert collected(connection).value("nukki_up", part="redis") == 1
    own_redis.kill()
    shown = collected(connection)
    assert shown.value("nukki_up", part="redis") == 0
    assert not list(shown.labels("nukki_queue_depth"))
    assert shown.value("nukki_jobs_unfinished") is None
    own_redis.start()
    assert collected(connection).value("nukki_up", part="redis") == 1
    connection.close()


def collected(connection: Connection) -> Scrape:
    registry = CollectorRegistry()
    registry.register(QueueCollector(DepthReader(connection)))
    return Scrape(generate_latest(registry).decode())


# The port


def test_a_process_serves_its_metrics_on_its_port() -> None:
    port = free_port()
    metrics.serve(port, "127.0.0.1")
    shown = Scrape(httpx.get(f"http://127.0.0.1:{port}/metrics").text)
    assert shown.value("nukki_lease_losses_total") is not None
    with pytest.raises(ConfigError, match=str(port)):
        metrics.serve(port, "127.0.0.1")


def test_without_a_port_nothing_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("bound")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    metrics.serve(None, "127.0.0.1")
