"""Many callers that wait for jobs, and when each was answered."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from shared.job import Outcome, Status
from tests.hostile.crowd import HOST, Seen, answer, get, honest
from tests.hostile.server import Served


@dataclass(slots=True)
class Waited:
    """Seconds from each job's end to its caller's answer, and the answers that came early."""

    lags: list[float] = field(default_factory=list)
    early: int = 0
    refused: int = 0
    beside: Seen = field(default_factory=Seen)

    @property
    def median(self) -> float:
        return sorted(self.lags)[len(self.lags) // 2]

    @property
    def slowest(self) -> float:
        return max(self.lags)


async def wait_for_jobs(
    server: Served, photo: bytes, job_ids: list[str], *, callers: int, seconds: float
) -> Waited:
    """Let `callers` wait for the jobs in turn, then end one job after another, evenly."""
    waited, ended = Waited(), dict[str, float]()

    async def one(job_id: str) -> None:
        reader, writer = await asyncio.open_connection(HOST, server.port)
        writer.write(get(f"/v1/jobs/{job_id}?wait=60"))
        status, body = await answer(reader)
        now = time.monotonic()
        writer.close()
        if status == 503:
            waited.refused += 1
        elif job_id not in ended or b'"status":"failed"' not in body:
            waited.early += 1
        else:
            waited.lags.append(now - ended[job_id])

    beside = asyncio.ensure_future(honest(server.port, photo, seconds + 6, callers=20))
    tasks = []
    for number in range(callers):
        tasks.append(asyncio.ensure_future(one(job_ids[number % len(job_ids)])))
        await asyncio.sleep(3 / callers)  # they come within three seconds
    await asyncio.sleep(2)
    leases = server.leases
    for job_id in job_ids:
        claim = await asyncio.to_thread(leases.claim, job_id)
        if claim is None:
            raise LookupError(job_id)
        ended[job_id] = time.monotonic()
        await asyncio.to_thread(leases.finish, claim, Status.FAILED, Outcome())
        await asyncio.sleep(seconds / len(job_ids))
    waited.beside = await beside
    await asyncio.wait(tasks, timeout=65)
    for task in tasks:
        task.cancel()
    return waited
