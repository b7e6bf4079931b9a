"""What a webhook's try leads to: a pure decision."""

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
from shared.queue.deliveries import DeliveryState, Verdict

#: How far from the schedule a try is moved, so that what failed together does not come together.
JITTER = 0.1
#: The longest that a receiver may put us off.
LONGEST_RETRY_AFTER = 24 * 3600
#: Seconds until a delivery that an outage of our own has stopped is looked at again.
OUTAGE_DELAY = 30.0
_PUTS_OFF = frozenset({429, 502, 503, 504})


def decide(
    answer: Answer | ServiceError,
    attempt: int,
    schedule: Sequence[float],
    *,
    chance: float = 0.5,
    now: float = 0.0,
) -> Verdict:
    """What becomes of a delivery whose `attempt`-th try (from 1) was met by `answer`.

    An outage of our own queue or storage is no try: the delivery is looked at again after
    `OUTAGE_DELAY`, its schedule as long as before. All else spends a try, what is wrong on our side
    too (a tenant without a secret), so that it ends.

    Args:
        answer: what was answered, or why nothing was.
        attempt: which try of the schedule it was.
        schedule: seconds to wait before each try, the first included.
        chance: 0..1, drawn by the caller; where in the jitter the next try falls.
        now: seconds since the epoch, for a `Retry-After` that is a date.
    """
    if isinstance(answer, Answer):
        if 200 <= answer.status < 300:
            return Verdict(DeliveryState.DELIVERED)
        if answer.status == 410:
            return Verdict(DeliveryState.SUSPENDED)
    elif isinstance(answer, UrlForbidden | NotFound):
        return Verdict(DeliveryState.DEAD)
    jitter = 1 + JITTER * (2 * chance - 1)
    if isinstance(answer, QueueUnavailable | StorageUnavailable):
        return Verdict(DeliveryState.PENDING, round(OUTAGE_DELAY * jitter * 1000), spends=False)
    if attempt >= len(schedule):
        return Verdict(DeliveryState.DEAD)
    delay = schedule[attempt] * jitter
    if isinstance(answer, Answer) and answer.status in _PUTS_OFF:
        delay = max(delay, min(retry_after(answer.retry_after, now), LONGEST_RETRY_AFTER))
    return Verdict(DeliveryState.PENDING, round(delay * 1000))


def retry_after(value: str, now: float) -> float:
    """The seconds that a `Retry-After` asks for (RFC 9110, 10.2.3); 0 for what is not one."""
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value[:10])
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, OverflowError):
        return 0.0
