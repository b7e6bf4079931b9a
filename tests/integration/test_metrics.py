"""The processes' metrics, compared with their jobs' records."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest

from nukki import Client, Job
from nukki.redis_server import free_port
from nukki.stack import Stack
from tests.integration.conftest import Receiver, running, simulation, until, worker_process
from tests.metrics import Scrape

WORKER, COURIER = free_port(), free_port()
#: The stages of a job's `timings_ms` that run in the job's own thread.
WORKED = ("fetch", "decode", "compose", "store")


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(
        tmp_path_factory.mktemp("metrics"),
        **simulation(seconds=0.4),
        MAX_ATTEMPTS="1",
        WEBHOOK_SCHEDULE="0,0.1",
        METRICS_PORT=str(WORKER),
        COURIER_METRICS_PORT=str(COURIER),
    ) as stack:
        yield stack


@pytest.fixture
def caller(counted: Stack) -> Iterator[Client]:
    with Client(counted.url) as client:
        yield client


def scrape(url: str) -> Scrape:
    return Scrape(httpx.get(f"{url}/metrics", timeout=10).raise_for_status().text)


def worker() -> Scrape:
    return scrape(f"http://127.0.0.1:{WORKER}")


def ended(client: Client, job: Job) -> Mapping[str, Any]:
    last: Job = until(lambda: (seen := client.get(job.id)).done and seen)
    return last.data


def jobs_of(after: Scrape, before: Scrape) -> dict[tuple[str, str, str], float]:
    """The number of jobs ended since, by state, model and lane."""
    name = "nukki_jobs_total"
    grown = {
        (found["state"], found["model"], found["lane"]): after.since(before, name, **found)
        for found in after.labels(name)
    }
    return {labels: count for labels, count in grown.items() if count}


def test_the_stage_metrics_match_the_jobs_timings(
    counted: Stack, caller: Client, sample: bytes
) -> None:
    before = worker()
    jobs = [caller.submit(sample), caller.submit(sample + b"1")]
    jobs += [caller.submit(sample, priority="bulk") for _ in range(2)]
    failing = caller.submit(url=f"{counted.url}/no-such-photo")
    first = caller.wait(jobs[0])
    jobs += [caller.submit(job=first.id, points=[(300, 120)]), caller.submit(render=first.id)]
    done = [ended(caller, job) for job in [*jobs, failing]]
    expected = {
        ("succeeded", "simulated", "interactive"): 3,
        ("succeeded", "simulated", "bulk"): 2,
        ("succeeded", "none", "render"): 1,
        ("failed", "simulated", "interactive"): 1,
    }
    until(lambda: sum(jobs_of(worker(), before).values()) == len(done))
    after = worker()
    assert jobs_of(after, before) == expected

    stages = {name for job in done for name in job["timings_ms"]}
    assert stages == {*WORKED, "queued", "encode", "segment", "total"}
    for stage in stages:
        recorded = [job["timings_ms"][stage] for job in done if stage in job["timings_ms"]]
        count = after.since(before, "nukki_stage_seconds_count", stage=stage)
        seconds = after.since(before, "nukki_stage_seconds_sum", stage=stage)
        assert count == len(recorded), stage
        assert math.isclose(seconds * 1000, sum(recorded), abs_tol=1e-3), stage
    assert set(done[-1]["timings_ms"]) == {"queued", "fetch", "total"}  # the stages it reached


def test_cpu_time_is_counted_by_stage(caller: Client, sample: bytes) -> None:
    before = worker()
    timings = caller.wait(caller.submit(sample + b"2")).data["timings_ms"]  # never encoded yet
    until(lambda: jobs_of(worker(), before))
    after = worker()

    def spent(stage: str) -> float:
        return after.since(before, "nukki_stage_cpu_seconds_total", stage=stage) * 1000

    for stage in WORKED:
        assert 0 < spent(stage) <= timings[stage] + 1, stage
    assert timings["encode"] + timings["segment"] > 300  # the simulated device sleeps
    assert spent("encode") + spent("segment") < 100


def test_device_batches_and_device_time_are_counted(caller: Client, sample: bytes) -> None:
    before = worker()
    jobs = [caller.submit(sample + b"device" + bytes([number])) for number in range(6)]
    timings = [caller.wait(job).data["timings_ms"] for job in jobs]
    after = worker()
    encoded, decoded = (
        {
            part: after.since(before, f"nukki_batch_size_{part}", step=step)
            for part in ("sum", "count")
        }
        for step in ("encode", "decode")
    )
    assert encoded["sum"] == decoded["sum"] == len(jobs)
    assert 1 <= encoded["count"] < len(jobs)  # some shared a batch
    busy = after.since(before, "nukki_device_busy_seconds_total")
    assert 0.4 * len(jobs) <= busy  # the simulated device's sleep per photo
    assert busy * 1000 <= sum(spent["encode"] + spent["segment"] for spent in timings)


def test_a_job_canceled_midway_counts_as_canceled_and_as_lost(
    counted: Stack, caller: Client, sample: bytes
) -> None:
    api, losing = scrape(counted.url), worker()
    job = caller.submit(sample + b"3")  # never encoded yet, so the device takes its time
    until(lambda: caller.get(job.id).status == "processing")
    assert caller.cancel(job).status == "canceled"
    assert jobs_of(scrape(counted.url), api) == {("canceled", "any", "interactive"): 1}
    until(lambda: worker().since(losing, "nukki_lease_losses_total") == 1)
    assert jobs_of(worker(), losing) == {}


def test_the_reserved_pixels_match_the_photos(caller: Client, sample: bytes) -> None:
    before = worker()
    assert (before.value("nukki_permits_megapixels", state="limit") or 0) > 100
    job = caller.submit(sample + b"4")  # never encoded yet
    until(lambda: worker().value("nukki_permits_megapixels", state="held") == 0.24)  # 600 × 400
    caller.wait(job)
    until(lambda: worker().value("nukki_permits_megapixels", state="held") == 0)
    assert worker().since(before, "nukki_permit_wait_seconds_count") >= 1


def test_jobs_waiting_for_a_hung_worker_are_shown_by_lane(
    counted: Stack, caller: Client, sample: bytes
) -> None:
    process = worker_process(counted)
    process.suspend()
    try:
        jobs = [caller.submit(sample) for _ in range(2)]
        jobs += [caller.submit(sample, priority="bulk") for _ in range(3)]
        shown = scrape(counted.url)
        depths = {
            found["lane"]: shown.value("nukki_queue_depth", **found)
            for found in shown.labels("nukki_queue_depth")
        }
        assert depths == {"reclaimed": 0, "interactive": 2, "bulk": 3, "render": 0}
        assert shown.value("nukki_jobs_unfinished") == 5
        assert shown.value("nukki_up", part="redis") == 1

        def oldest() -> float:
            return scrape(counted.url).value("nukki_queue_oldest_seconds", lane="bulk") or 0.0

        begun = oldest()
        assert 0 < begun < 10
        until(lambda: oldest() > begun + 0.5)
    finally:
        process.resume()
    for job in jobs:
        caller.wait(job)
    shown = scrape(counted.url)
    assert shown.value("nukki_queue_depth", lane="bulk") == 0
    assert shown.value("nukki_queue_oldest_seconds", lane="bulk") == 0


def test_the_courier_counts_its_attempts(caller: Client, sample: bytes, receiver: Receiver) -> None:
    receiver.statuses += [500]
    url = f"http://127.0.0.1:{COURIER}"
    before = scrape(url)
    caller.wait(caller.submit(sample, webhook={"url": receiver.url}))

    def tries() -> dict[str, float]:
        after, name = scrape(url), "nukki_webhook_attempts_total"
        found = after.labels(name)
        return {labels["outcome"]: after.since(before, name, **labels) for labels in found}

    until(lambda: tries() == {"delivered": 1, "retry": 1, "dead": 0, "suspended": 0})
    dead = caller.submit(sample, webhook={"url": receiver.url})
    receiver.statuses += [500, 500]
    until(lambda: tries() == {"delivered": 1, "retry": 2, "dead": 1, "suspended": 0})
    assert caller.get(dead.id).status == "succeeded"
