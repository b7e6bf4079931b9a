"""A worker whose work is done says so until Redis takes it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from shared.errors import OutOfMemory, QueueFull, QueueUnavailable, ServiceError
from shared.job import Input, Job, Outcome, Status, new_id
from shared.queue.leases import Claim
from shared.schema import JobRequest
from worker.heartbeat import Lease
from worker.job import outcome, pipeline
from worker.job.run import Run


class Leases:
    """Refuses to finish with each of `errors`, then takes it."""

    def __init__(self, *errors: ServiceError) -> None:
        self._errors = list(errors)
        self.asked = 0

    def finish(self, *_: object) -> bool:
        self.asked += 1
        if self._errors:
            raise self._errors.pop(0)
        return True


def run(leases: Leases) -> Run:
    photo = Input(new_id("inp"), "shop", stored=True)
    job = Job(new_id("job"), "shop", JobRequest(), photo.id, "http://here")
    runtime: Any = SimpleNamespace(leases=leases, engine=SimpleNamespace(model="grabcut"))
    return Run(runtime, Lease(Claim(job, photo, "token")))


@pytest.mark.parametrize("error", [QueueUnavailable(), QueueFull()])
def test_a_redis_that_is_away_or_full_is_asked_again(
    error: ServiceError, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.job.outcome.time.sleep", lambda _seconds: None)
    leases = Leases(error, error)
    done = run(leases)
    done.stored.append("shop/jobs/job_1/1/result")
    outcome.finish(done, Status.SUCCEEDED, Outcome())
    assert leases.asked == 3
    assert not done.stored  # it is the job's now, and nothing to clean up


class Released:
    """Notes how long a job is released for, and how often memory was said to be short."""

    def __init__(self) -> None:
        self.delays: list[int] = []
        self.shortages = 0

    def release(self, _: Claim, *, delay_ms: int) -> SimpleNamespace:
        self.delays.append(delay_ms)
        return SimpleNamespace(lane="bulk", failed=False)

    def ran_short(self) -> None:
        self.shortages += 1


@pytest.mark.parametrize(
    ("error", "short"),
    [(MemoryError(), 1), (OutOfMemory(), 1), (ValueError("anything else"), 0)],
)
def test_a_job_that_lacked_memory_waits_and_fewer_are_admitted(
    error: Exception, short: int
) -> None:
    noted = Released()
    left: Any = run(Leases())
    left.runtime.leases = left.runtime.pixels_in_flight = noted
    left.runtime.settings = SimpleNamespace(max_attempts=3, storage_patience=0)
    left.runtime.storage = None
    outcome.settle(left, error)
    assert noted.shortages == short
    assert (noted.delays[0] > 1000) == bool(short)


@pytest.mark.parametrize("error", [QueueUnavailable(), QueueFull()])
def test_a_redis_that_stays_away_or_full_is_given_up(
    error: ServiceError, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.job.outcome._FINISH_PATIENCE", 0.0)
    with pytest.raises(type(error)):
        outcome.finish(run(Leases(error)), Status.SUCCEEDED, Outcome())


@pytest.mark.parametrize("error", [QueueUnavailable(), QueueFull()])
def test_a_doorbell_that_cannot_be_answered_is_left_to_the_janitor(error: ServiceError) -> None:
    def weigh(job_id: str) -> None:
        raise error

    runtime: Any = SimpleNamespace(leases=SimpleNamespace(weigh=weigh))
    pipeline.process(runtime, "job_1")  # raises nothing: the record is untouched
