"""How a run ends: finished, failed, or released."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager

from shared.errors import (
    LeaseLost,
    OutOfMemory,
    QueueFull,
    QueueUnavailable,
    ServiceError,
    StorageUnavailable,
)
from shared.images.memory import is_shortage
from shared.job import Lane, Outcome, Status
from shared.metrics.jobs import count_end
from shared.metrics.worker import LEASE_LOSSES
from shared.queue.leases import Claim, Released
from worker.job.retry import Fail, Retry, WaitOut, decide
from worker.job.run import Run
from worker.runtime import Runtime

log = logging.getLogger("nukki.worker")

#: Redis is down, or is full and refuses writes: either way the record stays as it is.
NO_QUEUE = (QueueUnavailable, QueueFull)
#: Seconds for which `finish` is retried while Redis is down.
_FINISH_PATIENCE = 60.0


@contextmanager
def settling(run: Run) -> Iterator[None]:
    """Settle whatever goes wrong in the block, under the job's lease."""
    job_id = run.claim.job.id
    try:
        yield
    except LeaseLost:
        LEASE_LOSSES.inc()
        log.info("lease lost: the job is no longer this worker's", extra={"job": job_id})
        clean_up(run)
    except NO_QUEUE:
        log.warning("Redis is down; another worker takes the job", extra={"job": job_id})
    except Exception as error:  # noqa: BLE001  # any error must end the job
        settle(run, error)


def settle(run: Run, error: Exception) -> None:
    """Fail the job, or hand it back to be tried again."""
    job, settings = run.claim.job, run.runtime.settings
    if is_shortage(error):
        run.runtime.pixels_in_flight.ran_short()
        error = _told_as_shortage(error)
    jitter = random.random()  # noqa: S311
    decision = decide(error, job.attempts, settings.max_attempts, jitter=jitter)
    expected = isinstance(error, ServiceError)
    log.log(
        logging.INFO if expected else logging.ERROR,
        "%s: %s: %s",
        type(decision).__name__.lower(),
        getattr(error, "code", "unexpected"),
        error,
        exc_info=None if expected else error,
        extra={"job": job.id},
    )
    try:
        match decision:
            case Fail(failure):
                finish(run, Status.FAILED, run.outcome(error=failure))
            case Retry(delay_ms):
                _require_ours(run.runtime.leases.release(run.claim, delay_ms=delay_ms))
            case WaitOut(delay_ms, failure):
                impatient = run.outcome(error=failure)
                released = run.runtime.leases.release(
                    run.claim,
                    delay_ms=delay_ms,
                    spend=False,
                    patience_ms=int(settings.storage_patience * 1000),
                    impatient=impatient,
                )
                _require_ours(released)
                if released.failed:
                    _count(run, Status.FAILED, impatient)
    except NO_QUEUE:
        log.warning("Redis is down; the lease runs out by itself", extra={"job": job.id})
    except LeaseLost:
        LEASE_LOSSES.inc()
        log.info("lease lost: the job is no longer this worker's", extra={"job": job.id})
    clean_up(run)


def _told_as_shortage(error: Exception) -> OutOfMemory:
    """The error as OutOfMemory, whichever library raised it."""
    if isinstance(error, OutOfMemory):
        return error
    told = OutOfMemory()
    told.__cause__ = error
    return told


def _require_ours(released: Released) -> None:
    if released.lane is None and not released.failed:
        raise LeaseLost


def finish(run: Run, status: Status, outcome: Outcome) -> None:
    """Make the job terminal, retrying while Redis is down or full, so that no work is lost.

    Raises:
        LeaseLost: the job is no longer this worker's.
        QueueUnavailable, QueueFull: Redis stayed down or full for `_FINISH_PATIENCE`.
    """
    give_up = time.monotonic() + _FINISH_PATIENCE
    while True:
        try:
            finished = run.runtime.leases.finish(run.claim, status, outcome)
        except NO_QUEUE:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.5)
        else:
            break
    if not finished:
        raise LeaseLost
    _count(run, status, outcome)
    if status is Status.SUCCEEDED:
        run.stored.clear()
    log.info(
        "%s in %.0f ms",
        status.value,
        outcome.timings_ms.get("total", 0.0),
        extra={"job": run.claim.job.id},
    )


def _count(run: Run, status: Status, outcome: Outcome) -> None:
    model = run.runtime.engine.model
    count_end(run.claim.job, status, model=model, timings_ms=outcome.timings_ms)


def clean_up(run: Run) -> None:
    """Delete what this run stored; the sweeper deletes later what cannot be deleted now."""
    if run.stored:
        try:
            run.runtime.storage.delete(run.stored)
        except StorageUnavailable:
            log.info(
                "storage is down; the sweeper deletes the files", extra={"job": run.claim.job.id}
            )


def hand_back(runtime: Runtime) -> None:
    """Return every job in hand at once, for another worker; no attempt is spent."""
    try:
        for lease in runtime.heartbeat.held():
            give_back(runtime, lease.claim)
    except NO_QUEUE:
        return


def give_back(runtime: Runtime, claim: Claim) -> None:
    """Return a job at once, for another worker; no attempt is spent.

    Raises:
        QueueUnavailable, QueueFull: its lease runs out by itself.
    """
    released = runtime.leases.release(claim, spend=False)
    if released.lane is Lane.RECLAIMED:
        runtime.doorbell.ring(claim.job.id, Lane.RECLAIMED)
    log.info("handed back", extra={"job": claim.job.id})
