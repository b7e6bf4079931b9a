"""What becomes of a job whose try failed."""

from __future__ import annotations

import pytest

from shared.errors import (
    Busy,
    ConfigError,
    DecoderUnavailable,
    ImageInvalid,
    LeaseLost,
    NotFound,
    OutOfMemory,
    PromptInvalid,
    QueueFull,
    QueueUnavailable,
    SegmenterFailed,
    ServiceError,
    StorageUnavailable,
    SubjectNotFound,
    UrlFailed,
    UrlForbidden,
    UrlUnavailable,
)
from shared.job import Failure
from worker.job.retry import Decision, Fail, Retry, WaitOut, decide, failure_of

INSIDE = Failure(code="internal", message="the job failed inside the service; see its log")
AWAY = Failure(code="storage_unavailable", message="away")


def failed(error: ServiceError) -> Fail:
    return Fail(Failure(code=error.code, message=str(error)))


@pytest.mark.parametrize(
    ("error", "attempt", "decision"),
    [
        # What cannot succeed is not tried again.
        (ImageInvalid(), 1, failed(ImageInvalid())),
        (PromptInvalid("points.0: outside"), 1, failed(PromptInvalid("points.0: outside"))),
        (SubjectNotFound(), 1, failed(SubjectNotFound())),
        (UrlFailed("the URL answered 404"), 1, failed(UrlFailed("the URL answered 404"))),
        (UrlForbidden(), 1, failed(UrlForbidden())),
        (NotFound(), 1, failed(NotFound())),
        (LeaseLost(), 1, failed(LeaseLost())),
        (ConfigError(), 1, failed(ConfigError())),
        # What may succeed is tried again, later each time, and not for ever.
        (UrlUnavailable(), 1, Retry(1_000)),
        (UrlUnavailable(), 2, Retry(2_000)),
        (UrlUnavailable(), 3, failed(UrlUnavailable())),
        (UrlUnavailable(), 4, failed(UrlUnavailable())),
        (SegmenterFailed("CUDA"), 1, Retry(1_000)),
        (SegmenterFailed("CUDA"), 3, failed(SegmenterFailed("CUDA"))),
        (QueueUnavailable(), 1, Retry(1_000)),
        (QueueFull(), 1, Retry(1_000)),
        (Busy(), 1, Retry(1_000)),
        # A machine without memory gets more time.
        (OutOfMemory(), 1, Retry(5_000)),
        (OutOfMemory(), 2, Retry(10_000)),
        (OutOfMemory(), 3, failed(OutOfMemory())),
        (DecoderUnavailable(), 1, Retry(1_000)),
        # What nobody expected may be the machine's fault: another may do better.
        (ValueError("secret path /srv"), 1, Retry(1_000)),
        (ValueError("secret path /srv"), 3, Fail(INSIDE)),
        (MemoryError(), 1, Retry(1_000)),
        (MemoryError(), 3, Fail(INSIDE)),
        # A storage that is away costs no attempt, however many there were.
        *((StorageUnavailable("away"), attempt, WaitOut(2_000, AWAY)) for attempt in (1, 3, 99)),
    ],
)
def test_the_decision(error: Exception, attempt: int, decision: Decision) -> None:
    assert decide(error, attempt, max_attempts=3) == decision


@pytest.mark.parametrize(
    ("attempt", "delay_ms"),
    [(1, 1_000), (2, 2_000), (3, 4_000), (4, 8_000), (5, 16_000), (6, 30_000), (50, 30_000)],
)
def test_the_wait_doubles_up_to_half_a_minute(attempt: int, delay_ms: int) -> None:
    assert decide(UrlUnavailable(), attempt, max_attempts=99) == Retry(delay_ms)


@pytest.mark.parametrize("jitter", [0.0, 0.3, 0.999])
@pytest.mark.parametrize("attempt", [1, 5, 6, 50])
def test_a_jittered_wait_is_at_least_half_and_never_longer(attempt: int, jitter: float) -> None:
    whole = decide(UrlUnavailable(), attempt, max_attempts=99)
    jittered = decide(UrlUnavailable(), attempt, max_attempts=99, jitter=jitter)
    assert isinstance(whole, Retry)
    assert isinstance(jittered, Retry)
    assert whole.delay_ms / 2 <= jittered.delay_ms <= whole.delay_ms
    assert jittered.delay_ms == pytest.approx(whole.delay_ms * (1 - jitter / 2), abs=1)


def test_the_wait_for_a_storage_is_jittered_too() -> None:
    assert decide(StorageUnavailable("away"), 1, 3, jitter=0.5) == WaitOut(1_500, AWAY)


def test_with_one_attempt_there_is_no_second() -> None:
    assert isinstance(decide(UrlUnavailable(), 1, max_attempts=1), Fail)


def test_the_text_of_an_unexpected_error_is_not_shown_to_callers() -> None:
    assert "srv" not in failure_of(ValueError("secret path /srv")).message
