"""One run: start the stack, submit jobs, inject faults, then audit and total the results."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import redis.asyncio as aioredis
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff
from redis.exceptions import ConnectionError as RedisLost
from redis.exceptions import TimeoutError as RedisSilent

from tests.chaos import photos
from tests.chaos.audit import Audit
from tests.chaos.checker import Checker, listen
from tests.chaos.director import Director
from tests.chaos.faults import KINDS
from tests.chaos.ground import Fault, Ground
from tests.chaos.key_map import watch
from tests.chaos.ledger import Ledger
from tests.chaos.load import Load
from tests.chaos.measures import Measures, share
from tests.chaos.plan import Plan
from tests.chaos.receivers import Receiver
from tests.chaos.services import Services
from tests.chaos.tally import Tally

#: Seconds after the last fault within which every job must end.
_SETTLING = 150.0


async def run(
    plan: Plan, folder: Path, redis_server: str, kinds: Sequence[type[Fault]] = KINDS
) -> Tally:
    """Run `plan` on a new stack in `folder`; the tally lists what went wrong."""
    began = time.monotonic()
    services = Services(folder, redis_server, plan.attempts)
    redis = aioredis.Redis.from_url(
        services.redis_url,
        decode_responses=True,
        socket_timeout=3,
        retry=Retry(ConstantBackoff(0.1), 5),  # faults cut this connection too
        retry_on_error=[RedisLost, RedisSilent],
    )
    try:
        await services.start()
        async with httpx.AsyncClient(base_url=services.api, trust_env=False) as http:
            tally = await _run_on(plan, services, redis, http, kinds)
    finally:
        await services.stop()
        await redis.aclose()
    tally.seconds = time.monotonic() - began
    return tally


async def _run_on(
    plan: Plan,
    services: Services,
    redis: Any,
    http: httpx.AsyncClient,
    kinds: Sequence[type[Fault]],
) -> Tally:
    """Run on a stack that is up."""
    rng = random.Random(plan.seed)
    pictures = photos.good(rng)
    expected = await _fault_free(http, pictures)
    ledger = Ledger()
    receivers = [Receiver(ledger) for _ in range(3)]
    for receiver in receivers:
        await receiver.start()
    server = photos.PhotoServer(pictures, rng)
    await server.start()
    hooks = [receiver.url for receiver in receivers]
    load = Load(plan, ledger, http, hooks, pictures, server=server)
    checker = Checker(ledger, http, redis, expected, services.folder / "differing")
    ground = Ground(plan, rng, services, redis, ledger, load, Measures(redis), receivers)
    director = Director(ground, kinds)
    async with asyncio.TaskGroup() as group:  # if one task fails, the run fails
        works = [services.supervise(), listen(ledger, redis), checker.run(), watch(ledger, redis)]
        background = [group.create_task(work) for work in works]
        loading = group.create_task(load.run())
        await _among_faults(director, plan, ledger)
        load.stopped = True
        await asyncio.wait_for(loading, _SETTLING)
        await _settle(ledger)
        await checker.emptied()
        await Audit(services, redis, ledger, checker).run()
        for task in background:
            task.cancel()
    for receiver in receivers:
        receiver.stop()
    server.stop()
    return _results(ground, director)


async def _fault_free(
    http: httpx.AsyncClient, pictures: Sequence[photos.Photo]
) -> dict[str, bytes]:
    """The result of each photo without faults, by the photo's name.

    Raises:
        RuntimeError: a job did not succeed.
    """
    expected = {}
    for photo in pictures:
        files = {"image": ("photo.jpg", photo.data, "image/jpeg")}
        wait = {"Prefer": "wait=20"}
        job = (await http.post("/v1/jobs", files=files, headers=wait, timeout=30)).json()
        if job["status"] != "succeeded":
            raise RuntimeError(f"without faults, {photo.name} did not succeed: {job}")
        path = f"/v1/jobs/{job['id']}"
        result = await http.get(f"{path}/result", follow_redirects=True)
        expected[photo.name] = result.raise_for_status().content
        (await http.delete(path)).raise_for_status()
    return expected


async def _among_faults(director: Director, plan: Plan, ledger: Ledger) -> None:
    """Inject all faults; a slow machine then gets time without faults to reach `plan.jobs`."""
    await asyncio.sleep(2)
    if plan.minutes is None:
        await director.once()
        return
    await director.long(60 * plan.minutes)
    deadline = time.monotonic() + 30 * plan.minutes
    while ledger.accepted < plan.jobs and time.monotonic() < deadline:
        await asyncio.sleep(0.5)


async def _settle(ledger: Ledger) -> None:
    """Wait until every job has ended and been verified; any left after `_SETTLING` is wrong."""
    deadline = time.monotonic() + _SETTLING
    with contextlib.suppress(TimeoutError):
        while ledger.pending():
            if time.monotonic() > deadline:
                raise TimeoutError
            await asyncio.sleep(0.2)
    for entry in ledger.pending():
        kind = "lost" if not entry.messages else "not verified"
        ledger.wrong(kind, f"{entry.job_id} ({entry.photo.name})")


def _results(ground: Ground, director: Director) -> Tally:
    ledger, measures = ground.ledger, ground.measures
    tally = Tally(ground.plan.seed, faults=dict(director.done), no_occasion=dict(director.missed))
    tally.submitted = len(ledger.entries)
    tally.accepted = ledger.accepted
    tally.repeated = sum(entry.posts - 1 for entry in ledger.entries)
    ends = Counter(entry.view[0] for entry in ledger.entries if entry.view is not None)
    tally.succeeded, tally.canceled = ends["succeeded"], ends["canceled"]
    tally.deleted = sum(entry.is_deleted and entry.erased for entry in ledger.entries)
    tally.by_url = sum(entry.by_url for entry in ledger.entries)
    tally.poisoned = sum(
        entry.photo.fails == "poisoned" and entry.view is not None and entry.view[0] == "failed"
        for entry in ledger.entries
    )
    tally.webhooks = ledger.told
    tally.webhooks_repeated = ledger.told - sum(bool(entry.messages) for entry in ledger.entries)
    tally.restarts = ground.services.restarts
    tally.claims_after_kill = len(measures.claims)
    tally.claim_p50 = share(measures.claims, 0.5)
    tally.claim_p95 = share(measures.claims, 0.95)
    tally.claim_max = max(measures.claims, default=0.0)
    tally.claims_in_outage = len(measures.claims_in_outage)
    tally.claim_max_in_outage = max(measures.claims_in_outage, default=0.0)
    tally.unclaimed = measures.unclaimed
    tally.redis_restarts = len(measures.gaps)
    tally.redis_gap_max = max(measures.gaps, default=0.0)
    tally.refused = dict(ledger.refused)
    tally.wrongs = ledger.wrongs
    tally.notes = ground.notes
    return tally
