"""Measures how soon a killed worker's jobs are claimed again, and gaps from Redis restarts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from redis.exceptions import RedisError

from shared.queue import keys as redis_keys
from tests.chaos.plan import CLAIMED_WITHIN

#: Seconds after which a job counts as never claimed again.
_UNCLAIMED_AFTER = 120.0


@dataclass
class Measures:
    """Samples in seconds; `unclaimed` is a number of jobs."""

    redis: Any
    claims: list[float] = field(default_factory=list)
    claims_in_outage: list[float] = field(default_factory=list)
    unclaimed: int = 0
    gaps: list[float] = field(default_factory=list)  # of Redis restarts
    _outages: list[tuple[float, float]] = field(default_factory=list)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def now(self) -> int:
        """Redis's clock in ms."""
        seconds, micros = await self.redis.time()
        return int(seconds * 1000 + micros // 1000)

    async def in_hand(self, worker: str | None = None) -> dict[str, int]:
        """The jobs being processed, by one worker or any, and each job's number of claims."""
        ids = await self.redis.zrange(redis_keys.LEASED.key(), 0, -1)
        pipeline = self.redis.pipeline(transaction=False)
        for job_id in ids:
            pipeline.hmget(redis_keys.JOB.key(job_id), "status", "worker", "claims")
        found = zip(ids, await pipeline.execute(), strict=True)
        return {
            job_id: int(claims)
            for job_id, (status, owner, claims) in found
            if status == "processing" and worker in {None, owner}
        }

    @contextmanager
    def outage(self) -> Iterator[None]:
        """Record that Redis or storage is down during the block, so that nothing can be claimed."""
        self._outages.append((time.monotonic(), float("inf")))
        place = len(self._outages) - 1
        try:
            yield
        finally:
            self._outages[place] = (self._outages[place][0], time.monotonic())

    def follow(self, killed_at: int, jobs: dict[str, int]) -> None:
        """Measure, in the background, when each of a killed worker's jobs is claimed again.

        The samples go to `claims_in_outage` if Redis or storage was down within
        `CLAIMED_WITHIN` seconds from now.

        Args:
            killed_at: Redis's clock in ms.
            jobs: the worker's jobs and how often each had been claimed.
        """
        task = asyncio.create_task(self._follow(killed_at, jobs))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _follow(self, killed_at: int, jobs: dict[str, int]) -> None:
        left, taken = dict(jobs), dict[str, float]()
        began = time.monotonic()
        while left and time.monotonic() < began + _UNCLAIMED_AFTER:
            await asyncio.sleep(0.1)
            try:
                pipeline = self.redis.pipeline(transaction=False)
                for job_id in left:
                    pipeline.hmget(redis_keys.JOB.key(job_id), "claims", "started", "status")
                found = zip(list(left), await pipeline.execute(), strict=True)
            except (RedisError, OSError):
                continue
            for job_id, (claims, started, status) in found:
                if claims is not None and int(claims) > left[job_id]:
                    taken[job_id] = (int(started) - killed_at) / 1000
                    del left[job_id]
                elif status not in {"queued", "processing"}:  # finished before the kill
                    del left[job_id]
        self.unclaimed += len(left)
        away = any(start < began + CLAIMED_WITHIN and began < end for start, end in self._outages)
        (self.claims_in_outage if away else self.claims).extend(taken.values())
        if taken:
            times = " ".join(f"{seconds:.1f}" for seconds in sorted(taken.values()))
            print(
                f"          its jobs claimed after {times} s{' during an outage' if away else ''}"
            )

    async def resumed(self, back: int, workers: set[str], ids: list[str]) -> set[str]:
        """Which of `workers` have claimed one of these jobs since `back` (Redis's clock in ms)."""
        pipeline = self.redis.pipeline(transaction=False)
        for job_id in ids:
            pipeline.hmget(redis_keys.JOB.key(job_id), "worker", "started")
        found = await pipeline.execute()
        return {name for name, at in found if name in workers and at and int(at) >= back}


def share(samples: list[float], part: float) -> float:
    """The nearest-rank quantile `part` (0 to 1) of the samples; 0 without samples."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0
