"""A run: one attempt at a job, with its lease, its timings and what it stored."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

from shared.job import Outcome
from shared.metrics.worker import STAGE_CPU
from shared.queue.leases import Claim
from shared.schema import Priority
from worker.engine import Reservation
from worker.heartbeat import Lease
from worker.runtime import Runtime

#: The names that a job's `timings_ms` may have, in order.
TIMINGS = ("queued", "fetch", "decode", "encode", "segment", "compose", "store", "total")


@dataclass(slots=True)
class Run:
    """One attempt at a job.

    Attributes:
        runtime: what the worker process holds.
        lease: this worker's right to the job.
        timings_ms: milliseconds per stage so far.
        warnings: for the job's `warnings`.
        stored: keys written so far, to be deleted if the job does not finish here.
        begun: when it began, by `time.perf_counter`.
        allowance: seconds by which a computing stage may exceed the stage deadline, because the
            photo or the result is large.
    """

    runtime: Runtime
    lease: Lease
    timings_ms: dict[str, float] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    stored: list[str] = field(default_factory=list)
    begun: float = field(default_factory=time.perf_counter)
    allowance: float = 0.0

    @property
    def claim(self) -> Claim:
        return self.lease.claim

    @property
    def urgent(self) -> bool:
        """Whether a person waits for the job."""
        return self.claim.job.request.priority is Priority.INTERACTIVE

    @contextmanager
    def work(self, name: str) -> Iterator[None]:
        """A stage that keeps a core busy. Waiting for the core does not count as part of it."""
        with self._core(), self.stage(name, allowance=self.allowance):
            yield

    def _core(self) -> AbstractContextManager[Reservation]:
        tenant = self.claim.job.tenant
        return self.runtime.cores.holding(1, tenant=tenant, urgent=self.urgent)

    @contextmanager
    def stage(self, name: str, *, bounded: bool = True, allowance: float = 0.0) -> Iterator[None]:
        """Time a stage and set its deadline, `allowance` seconds later than the setting says.

        A stage that only waits for other jobs is not `bounded`: their stages are.

        Raises:
            LeaseLost: the job is no longer this worker's; the stage does not begin.
        """
        self.lease.require()
        self.lease.stage = name
        if bounded:
            limit = self.runtime.settings.stage_deadline + allowance
            self.lease.deadline = time.monotonic() + limit
        began, cpu = time.perf_counter(), time.thread_time()
        try:
            yield
        finally:
            self.lease.deadline = float("inf")
            spent = (time.perf_counter() - began) * 1000
            self.timings_ms[name] = self.timings_ms.get(name, 0.0) + spent
            STAGE_CPU.labels(name).inc(time.thread_time() - cpu)

    def outcome(self, **fields: object) -> Outcome:
        """The job's report: `fields`, with the warnings and timings so far."""
        job = self.claim.job
        queued = max(0, (job.started_ms or 0) - job.created_ms)  # the clock may have gone back
        run = (time.perf_counter() - self.begun) * 1000
        known = {"queued": queued, **self.timings_ms, "total": queued + run}
        timings = {name: known[name] for name in TIMINGS if name in known}
        return Outcome.model_validate(
            {
                "warnings": tuple(self.warnings),
                "timings_ms": {name: round(value, 1) for name, value in timings.items()},
                **fields,
            }
        )
