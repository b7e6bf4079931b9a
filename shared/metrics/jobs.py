"""Metrics of finished jobs: their final state, and how long each stage took.

The process that ends a job counts it, so that the sum over all processes counts each job once: the
worker counts jobs it finishes, the API jobs it cancels, the courier poisoned jobs it fails.
"""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import Counter, Histogram

from shared.job import Job, Status

JOBS = Counter(
    "nukki_jobs_total",
    "Finished jobs by final state, model, and the lane they were last taken from",
    ["state", "model", "lane"],
)
STAGE_SECONDS = Histogram(
    "nukki_stage_seconds",
    "Wall time per stage of finished jobs, as in their timings_ms",
    ["stage"],
    # From decoding a thumbnail to a night in the queue.
    buckets=(
        *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
        *(30, 60, 300, 1800, 7200, 28800),
    ),
)

#: The `model` of a render, which needs none, and of a job that ended before a worker took it.
NO_MODEL, ANY_MODEL = "none", "any"


def count_end(
    job: Job,
    status: Status,
    *,
    model: str | None = None,
    timings_ms: Mapping[str, float] | None = None,
) -> None:
    """Count a job that has just become terminal.

    Args:
        job: the job; its lane is that of its last claim.
        status: its final state.
        model: the model of the worker that ended it; None if no worker did.
        timings_ms: its timings by stage, in milliseconds.
    """
    needless = job.request.render is not None
    served = NO_MODEL if needless else model or job.request.model or ANY_MODEL
    JOBS.labels(state=status.value, model=served, lane=job.lane.value).inc()
    for stage, milliseconds in (timings_ms or {}).items():
        STAGE_SECONDS.labels(stage).observe(milliseconds / 1000)
