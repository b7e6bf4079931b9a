"""What to do about an error: a pure decision."""

from __future__ import annotations

from dataclasses import dataclass

from shared.errors import NukkiError, StorageUnavailable
from shared.job import Failure

_FIRST_DELAY_MS = 1_000
_LONGEST_DELAY_MS = 30_000
#: How often a job whose storage is away is tried again.
_OUTAGE_DELAY_MS = 2_000


@dataclass(frozen=True, slots=True)
class Fail:
    """Give up, and say why."""

    failure: Failure


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again after a delay, the attempt spent."""

    delay_ms: int


@dataclass(frozen=True, slots=True)
class WaitOut:
    """Try again after a delay without spending an attempt, until patience ends; then fail."""

    delay_ms: int
    failure: Failure


Decision = Fail | Retry | WaitOut


def decide(error: BaseException, attempt: int, max_attempts: int) -> Decision:
    """What becomes of a job whose `attempt`-th try (from 1) raised `error`."""
    if isinstance(error, StorageUnavailable):
        return WaitOut(_OUTAGE_DELAY_MS, failure_of(error))
    final = isinstance(error, NukkiError) and not error.retryable
    if final or attempt >= max_attempts:
        return Fail(failure_of(error))
    return Retry(min(_FIRST_DELAY_MS * 2 ** (attempt - 1), _LONGEST_DELAY_MS))


def failure_of(error: BaseException) -> Failure:
    """An error as callers see it; the text of an unexpected one stays in the log."""
    if isinstance(error, NukkiError):
        return Failure(code=error.code, message=error.message)
    return Failure(code=NukkiError.code, message="the job failed inside the service; see its log")
