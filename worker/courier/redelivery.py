"""What follows a try of a webhook: a pure decision."""

from __future__ import annotations

from collections.abc import Sequence
from email.utils import parsedate_to_datetime

from shared.errors import (
    NotFound,
    QueueUnavailable,
    ServiceError,
    StorageUnavailable,
    UrlForbidden,
)
from shared.outbound import Answer
from shared.queue.deliveries import DeliveryState, NextStep

#: Jitter as a share of the delay, so that tries that failed together do not return together.
JITTER = 0.1
#: Longest `Retry-After` that a receiver can ask for, in seconds.
LONGEST_RETRY_AFTER = 24 * 3600
#: Seconds until a delivery is tried again that an outage of our own has stopped.
OUTAGE_DELAY = 30.0
_PUTS_OFF = frozenset({429, 502, 503, 504})


def decide(
    answer: Answer | ServiceError,
    attempt: int,
    schedule: Sequence[float],
    *,
    chance: float = 0.5,
    now: float = 0.0,
) -> NextStep:
    """Decide what follows the `attempt`-th try (from 1) of a delivery, given its `answer`.

    An outage of our own queue or storage is no try: the delivery is taken up again after
    `OUTAGE_DELAY`, with its schedule unchanged. Everything else uses up a try, even other faults on
    our side (a tenant without a secret), so that the delivery ends.

    Args:
        answer: the receiver's answer, or the reason there was none.
        attempt: number of the try in the schedule, from 1.
        schedule: seconds to wait before each try, including the first.
        chance: 0..1, drawn by the caller; position of the next try within the jitter.
        now: seconds since the epoch, to read a `Retry-After` that is a date.
    """
    if isinstance(answer, Answer):
        if 200 <= answer.status < 300:
            return NextStep(DeliveryState.DELIVERED)
        if answer.status == 410:
            return NextStep(DeliveryState.SUSPENDED)
    elif isinstance(answer, UrlForbidden | NotFound):
        return NextStep(DeliveryState.DEAD)
    jitter = 1 + JITTER * (2 * chance - 1)
    if isinstance(answer, QueueUnavailable | StorageUnavailable):
        return NextStep(DeliveryState.PENDING, round(OUTAGE_DELAY * jitter * 1000), spends=False)
    if attempt >= len(schedule):
        return NextStep(DeliveryState.DEAD)
    delay = schedule[attempt] * jitter
    if isinstance(answer, Answer) and answer.status in _PUTS_OFF:
        delay = max(delay, min(retry_after(answer.retry_after, now), LONGEST_RETRY_AFTER))
    return NextStep(DeliveryState.PENDING, round(delay * 1000))


def retry_after(value: str, now: float) -> float:
    """Seconds that a `Retry-After` asks for (RFC 9110, 10.2.3); 0 if it cannot be parsed."""
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value[:10])
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, OverflowError):
        return 0.0
