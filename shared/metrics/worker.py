"""What a worker counts beside its jobs: processor time, the device, its batches, its permits."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from prometheus_client import Counter, Gauge, Histogram

EMBEDDING_HITS = Counter("nukki_embedding_hits_total", "Clicks that found their photo's embedding")
EMBEDDING_MISSES = Counter("nukki_embedding_misses_total", "Photos that had to be encoded")

STAGE_CPU = Counter(
    "nukki_stage_cpu_seconds_total",
    "Processor time of the threads that did a stage, of work in vain too",
    ["stage"],
)
LEASE_LOSSES = Counter(
    "nukki_lease_losses_total",
    "Jobs dropped midway for being no longer this worker's: canceled, erased, or taken back",
)

BATCH_SIZE = Histogram(
    "nukki_batch_size",
    "What the device was given at once: photos to encode, prompts to decode",
    ["step"],
    buckets=(1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128, 256),
)
DEVICE_BUSY = Counter(
    "nukki_device_busy_seconds_total", "Time the device was at work; its rate is the busy share"
)

PERMITS = Gauge(
    "nukki_permits_megapixels", "Photos in hand, against how much may be in hand at once", ["state"]
)
PERMIT_WAIT = Histogram(
    "nukki_permit_wait_seconds",
    "How long a job waited for its permit before it was claimed",
    buckets=(0.001, 0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60),
)

Step = Literal["encode", "decode"]
#: What a job's timings call each step of the device; a job's own `decode` is of its photo's file.
_STAGE_OF: dict[Step, str] = {"encode": "encode", "decode": "segment"}
for _step in _STAGE_OF:
    BATCH_SIZE.labels(_step)  # there from the start, so that a rate sees the first batch


def watch_in_flight(held: Callable[[], int], limit: int) -> None:
    """Show, whenever asked, how many pixels are in hand of how many may be."""
    PERMITS.labels("held").set_function(lambda: held() / 1e6)
    PERMITS.labels("limit").set(limit / 1e6)


@contextmanager
def device_at_work(step: Step, size: int) -> Iterator[None]:
    """Count one call of the device, which the block makes and waits for.

    Args:
        step: which half of the segmenter is called.
        size: photos or prompts in the call.
    """
    BATCH_SIZE.labels(step).observe(size)
    began, cpu = time.perf_counter(), time.thread_time()
    try:
        yield
    finally:
        DEVICE_BUSY.inc(time.perf_counter() - began)
        STAGE_CPU.labels(_STAGE_OF[step]).inc(time.thread_time() - cpu)
