"""The next step after each attempt to deliver a webhook."""

from __future__ import annotations

from dataclasses import replace
from email.utils import format_datetime

import pytest

from shared.errors import (
    ConfigError,
    NotFound,
    QueueUnavailable,
    ServiceError,
    StorageUnavailable,
    UrlForbidden,
    UrlUnavailable,
)
from shared.outbound import Answer
from shared.queue.deliveries import DeliveryState, NextStep
from shared.settings import CourierSettings
from shared.view import moment
from worker.courier.redelivery import JITTER, LONGEST_RETRY_AFTER, decide, retry_after

SCHEDULE = (0, 5, 300)
NOW = 1_700_000_000.0
DELIVERED = NextStep(DeliveryState.DELIVERED)
SUSPENDED = NextStep(DeliveryState.SUSPENDED)
DEAD = NextStep(DeliveryState.DEAD)


def again(seconds: float) -> NextStep:
    return NextStep(DeliveryState.PENDING, round(seconds * 1000))


def later(seconds: float) -> NextStep:
    return replace(again(seconds), spends=False)


def date(seconds: float) -> str:
    return format_datetime(moment(int((NOW + seconds) * 1000)), usegmt=True)


@pytest.mark.parametrize(
    ("answer", "attempt", "step"),
    [
        (Answer(200), 1, DELIVERED),
        (Answer(204), 1, DELIVERED),
        (Answer(299), 3, DELIVERED),
        (Answer(299), 99, DELIVERED),
        (Answer(199), 1, again(5)),
        (Answer(300), 1, again(5)),
        (Answer(301), 1, again(5)),
        (Answer(302), 2, again(300)),
        (Answer(307), 3, DEAD),
        (Answer(308), 1, again(5)),
        (Answer(400), 1, again(5)),
        (Answer(401), 1, again(5)),
        (Answer(404), 2, again(300)),
        (Answer(409), 3, DEAD),
        (Answer(500), 1, again(5)),
        (Answer(500), 2, again(300)),
        (Answer(500), 3, DEAD),
        (Answer(500), 4, DEAD),  # the schedule was shortened meanwhile
        (Answer(410), 1, SUSPENDED),
        (Answer(410), 3, SUSPENDED),
        (Answer(410), 99, SUSPENDED),
        (UrlUnavailable("no answer"), 1, again(5)),
        (UrlUnavailable("no answer"), 3, DEAD),
        # Our own outage spends no attempt, however many remain.
        (StorageUnavailable(), 1, later(30)),
        (QueueUnavailable(), 2, later(30)),
        (StorageUnavailable(), 3, later(30)),
        (StorageUnavailable(), 99, later(30)),
        (ConfigError("no secret"), 1, again(5)),
        (ConfigError("no secret"), 3, DEAD),
        (ServiceError("a bug"), 2, again(300)),
        (UrlForbidden(), 1, DEAD),
        (NotFound("erased"), 1, DEAD),
        # Retry-After: never earlier than the schedule, never later than a day.
        (Answer(429, retry_after="60"), 1, again(60)),
        (Answer(502, retry_after="60"), 1, again(60)),
        (Answer(503, retry_after="60"), 1, again(60)),
        (Answer(504, retry_after="60"), 1, again(60)),
        (Answer(503, retry_after=" 60 "), 1, again(60)),
        (Answer(503, retry_after="60"), 2, again(300)),
        (Answer(503, retry_after="0"), 1, again(5)),
        (Answer(503, retry_after="60"), 3, DEAD),
        (Answer(503, retry_after=date(60)), 1, again(60)),
        (Answer(429, retry_after=date(-60)), 1, again(5)),
        (Answer(503, retry_after="9" * 400), 1, again(LONGEST_RETRY_AFTER)),
        (Answer(503, retry_after=date(10**7)), 1, again(LONGEST_RETRY_AFTER)),
        # Retry-After is ignored with any other status.
        (Answer(500, retry_after="60"), 1, again(5)),
        (Answer(301, retry_after="60"), 1, again(5)),
        (Answer(408, retry_after="60"), 1, again(5)),
        (Answer(200, retry_after="60"), 1, DELIVERED),
        (Answer(410, retry_after="60"), 1, SUSPENDED),
    ],
)
def test_each_answer_leads_to_its_next_step(
    answer: Answer | ServiceError, attempt: int, step: NextStep
) -> None:
    assert decide(answer, attempt, SCHEDULE, now=NOW) == step


@pytest.mark.parametrize(
    ("chance", "seconds"), [(0.0, 270), (0.25, 285), (0.5, 300), (0.75, 315), (1.0, 330)]
)
def test_jitter_is_up_to_a_tenth_of_the_delay_either_way(chance: float, seconds: float) -> None:
    assert JITTER == 0.1
    assert decide(Answer(500), 2, SCHEDULE, chance=chance) == again(seconds)


def test_jitter_never_retries_before_retry_after() -> None:
    step = decide(Answer(503, retry_after="300"), 2, SCHEDULE, chance=0.0)
    assert step == again(300)


def test_jitter_never_makes_a_delay_negative() -> None:
    assert decide(Answer(500), 1, (0, 0), chance=0.0) == again(0)


@pytest.mark.parametrize(
    "value",
    ["", "soon", "-1", "1.5", "1e3", "٣", "Wed", "Wed, 99 Foo 2026 25:61:61 GMT", "\x00", "60 s"],
)
def test_an_invalid_retry_after_is_ignored(value: str) -> None:
    assert retry_after(value, NOW) == 0


def test_the_default_schedule_matches_the_specification() -> None:
    minute, hour = 60, 3600
    assert CourierSettings.load().webhook_schedule == (
        *(0, 5, 5 * minute, 30 * minute),
        *(2 * hour, 5 * hour, 10 * hour, 14 * hour, 20 * hour, 24 * hour),
    )
