"""Decides, as a pure function, whether a failed job is tried again."""

from __future__ import annotations

from dataclasses import dataclass

from shared.errors import OutOfMemory, ServiceError, StorageUnavailable
from shared.job import Failure

_FIRST_DELAY_MS = 1_000
#: Of a job that found too little memory, so that what holds it can end first.
_FIRST_SHORTAGE_DELAY_MS = 5_000
_LONGEST_DELAY_MS = 30_000
#: Delay before a job whose storage is down is tried again.
_OUTAGE_DELAY_MS = 2_000


@dataclass(frozen=True, slots=True)
class Fail:
    """Fail the job for this reason."""

    failure: Failure


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again after a delay; the attempt counts."""

    delay_ms: int


@dataclass(frozen=True, slots=True)
class WaitOut:
    """Try again after a delay; attempts do not count until the storage timeout, then it fails."""

    delay_ms: int
    failure: Failure


Decision = Fail | Retry | WaitOut


def decide(
    error: BaseException, attempt: int, max_attempts: int, *, jitter: float = 0.0
) -> Decision:
    """Decide about a job whose attempt number `attempt` (from 1) raised `error`.

    `jitter`, 0..1, shortens a delay by up to half, so that jobs that failed together are not all
    retried at the same moment.
    """
    if isinstance(error, StorageUnavailable):
        return WaitOut(_jittered(_OUTAGE_DELAY_MS, jitter), failure_of(error))
    final = isinstance(error, ServiceError) and not error.retryable
    if final or attempt >= max_attempts:
        return Fail(failure_of(error))
    first_ms = _FIRST_SHORTAGE_DELAY_MS if isinstance(error, OutOfMemory) else _FIRST_DELAY_MS
    delay_ms = min(first_ms * 2 ** min(attempt - 1, 10), _LONGEST_DELAY_MS)
    return Retry(_jittered(delay_ms, jitter))


def _jittered(delay_ms: int, jitter: float) -> int:
    return round(delay_ms * (1 - jitter / 2))


def failure_of(error: BaseException) -> Failure:
    """The failure that callers see; the text of an unexpected error appears only in the log."""
    if isinstance(error, ServiceError):
        return Failure(code=error.code, message=error.message)
    return Failure(code=ServiceError.code, message="the job failed inside the service; see its log")
