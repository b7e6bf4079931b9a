"""Metrics of a worker other than `jobs`: CPU time, the device, batches, the in-flight limit."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from prometheus_client import Counter, Gauge, Histogram

EMBEDDING_HITS = Counter("nukki_embedding_hits_total", "Jobs whose photo's embedding was cached")
EMBEDDING_MISSES = Counter("nukki_embedding_misses_total", "Photos that had to be encoded")

STAGE_CPU = Counter(
    "nukki_stage_cpu_seconds_total",
    "CPU time of the threads that ran a stage, wasted work included",
    ["stage"],
)
LEASE_LOSSES = Counter(
    "nukki_lease_losses_total",
    "Jobs stopped midway because this worker lost them: canceled, erased, or returned to the queue",
)

DECODER_DEATHS = Counter(
    "nukki_decoder_deaths_total",
    "Decoder processes that ended before their worker, by how: SIGPROF is an image that took far "
    "longer than its pixels do, SIGKILL a machine without memory",
    ["ended"],
)

BATCH_SIZE = Histogram(
    "nukki_batch_size",
    "Photos per encode call and prompts per decode call of the device",
    ["step"],
    buckets=(1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128, 256),
)
DEVICE_BUSY = Counter(
    "nukki_device_busy_seconds_total", "Time the device was busy; its rate is the share of time"
)

PERMITS = Gauge(
    "nukki_permits_megapixels", "Megapixels of photos in memory, and the limit", ["state"]
)
PERMIT_WAIT = Histogram(
    "nukki_permit_wait_seconds",
    "How long a worker waited for room in the in-flight limit before it claimed a job",
    buckets=(0.001, 0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60),
)

Step = Literal["encode", "decode"]
#: The stage of each step in a job's timings, where `decode` means decoding the photo's file.
_STAGE_OF: dict[Step, str] = {"encode": "encode", "decode": "segment"}
for _step in _STAGE_OF:
    BATCH_SIZE.labels(_step)  # exported from the start, so that rate() counts the first batch


def watch_in_flight(held: Callable[[], int], limit: Callable[[], int]) -> None:
    """Export the pixels in memory and their limit, read at each scrape."""
    PERMITS.labels("held").set_function(lambda: held() / 1e6)
    PERMITS.labels("limit").set_function(lambda: limit() / 1e6)


@contextmanager
def device_at_work(step: Step, size: int) -> Iterator[None]:
    """Count the device call that the block makes and waits for.

    Args:
        step: the segmenter's method.
        size: photos or prompts in the call.
    """
    BATCH_SIZE.labels(step).observe(size)
    began, cpu = time.perf_counter(), time.thread_time()
    try:
        yield
    finally:
        DEVICE_BUSY.inc(time.perf_counter() - began)
        STAGE_CPU.labels(_STAGE_OF[step]).inc(time.thread_time() - cpu)
