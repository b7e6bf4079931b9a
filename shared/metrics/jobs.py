"""Jobs as they end: which, where, and how long each of their stages took.

Whoever ends a job counts it, so that the sum over all processes counts each once: the worker those
that it finishes, the API those that it cancels, the courier those that it gives up as poisoned.
"""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import Counter, Histogram

from shared.job import Job, Status

JOBS = Counter(
    "nukki_jobs_total",
    "Jobs that ended, by their last state, their model, and the lane they were last taken from",
    ["state", "model", "lane"],
)
STAGE_SECONDS = Histogram(
    "nukki_stage_seconds",
    "Wall time of each stage of a job that ended, as its timings_ms has it",
    ["stage"],
    # From a decode of a thumbnail to a night in the queue.
    buckets=(
        *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
        *(30, 60, 300, 1800, 7200, 28800),
    ),
)

#: The `model` of a render, which needs none, and of a job that ended before it met one.
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
        job: the job, its lane that of its last claim.
        status: what it became.
        model: what its worker serves; None where no worker ended it.
        timings_ms: the job's own, by stage.
    """
    needless = job.request.render is not None
    served = NO_MODEL if needless else model or job.request.model or ANY_MODEL
    JOBS.labels(state=status.value, model=served, lane=job.lane.value).inc()
    for stage, milliseconds in (timings_ms or {}).items():
        STAGE_SECONDS.labels(stage).observe(milliseconds / 1000)
