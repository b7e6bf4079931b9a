"""The final audit: what is left in storage and in Redis after the run."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from shared.queue import keys as redis_keys
from shared.storage import keys
from tests.chaos.checker import Checker
from tests.chaos.key_map import OUTSIDE, strays
from tests.chaos.ledger import Entry, Ledger
from tests.chaos.services import BUCKET, Services

_TENANT = "default"
#: Keys that may remain: they expire by themselves, or are Celery's own and fixed in number.
_MAY_STAY = (
    redis_keys.IDEMPOTENCY,
    redis_keys.WORKERS,
    redis_keys.WORKER,
    redis_keys.STORED,
    redis_keys.CLOCK,
    redis_keys.HOLD,
    redis_keys.WALK,
    redis_keys.WALKER,
    redis_keys.BINDINGS,
    redis_keys.PERMANENT_BINDINGS,
)
#: Seconds allowed for sweeping, at a hundred names per five seconds.
_SWEEPING = 180.0


class Audit:
    """Audit storage and Redis after the last job has ended, with the stack still up."""

    def __init__(self, services: Services, redis: Any, ledger: Ledger, checker: Checker) -> None:
        self._redis = redis
        self._ledger = ledger
        self._checker = checker
        self._storage = services.storage_client()

    async def run(self) -> None:
        """Record every orphan and every key left behind as wrong."""
        await self._check_jobs()
        kept = [entry for entry in self._ledger.entries if entry.job_id and not entry.erased]
        await self._check_kept(kept)
        for stray in await strays(self._redis):
            self._ledger.wrong(OUTSIDE, stray)
        for entry in kept:
            await self._checker.erase(entry)
        await self._sweep_all()
        for name in sorted(await asyncio.to_thread(self._objects)):
            self._ledger.wrong("orphan in storage", name)
        for key in sorted(await self._redis.keys("*")):
            if not any(family.matches(key) for family in _MAY_STAY):
                self._ledger.wrong("key left behind", key)

    async def _check_jobs(self) -> None:
        """Check that each submit made one job, whose webhooks have one id and one outcome."""
        known = set(self._ledger.by_id)
        for job_id in await self._redis.zrange(redis_keys.JOBS.key(_TENANT), 0, -1):
            if job_id not in known:
                self._ledger.wrong("job nobody was told of", job_id)
        for entry in self._ledger.entries:
            ids = {webhook_id for webhook_id, _ in entry.messages}
            events = {event for _, event in entry.messages}
            named = entry.named | ({entry.job_id} if entry.job_id else set())
            if len(ids) > 1 or len(events) > 1 or (not ids and not entry.is_deleted):
                self._ledger.wrong("webhooks", f"{entry.job_id}: {sorted(ids)} {sorted(events)}")
            if len(named) != 1:
                self._ledger.wrong("two jobs for one key", f"{entry.key}: {sorted(named)}")

    async def _check_kept(self, kept: list[Entry]) -> None:
        """Check that kept jobs have their files, and that every other object awaits sweeping."""
        noted = set(await self._redis.zrange(redis_keys.SWEEP.key(), 0, -1))
        theirs: set[str] = set()
        unfetched: set[str] = set()
        for entry in kept:
            record = await self._redis.hgetall(redis_keys.JOB.key(str(entry.job_id)))
            if not record:
                theirs.add(keys.archive_key(_TENANT, str(entry.job_id)))
                record = await asyncio.to_thread(self._archived, str(entry.job_id))
            if not record:
                self._ledger.wrong("lost", f"{entry.job_id}: its record is gone")
                continue
            photo = keys.input_key(_TENANT, record["input"])
            theirs.add(photo)
            if entry.by_url and record["status"] == "canceled":  # maybe unfetched
                unfetched.add(photo)
            if record["status"] == "succeeded":
                theirs |= {
                    keys.attempt_key(_TENANT, str(entry.job_id), int(record["claims"]), name)
                    for name in (keys.RESULT, keys.ALPHA)
                }
        there = await asyncio.to_thread(self._objects)
        for name in sorted(theirs - unfetched - there):
            self._ledger.wrong("file missing", name)
        for name in sorted(there - theirs):
            if name not in noted and name.rpartition("/")[0] + "/" not in noted:
                self._ledger.wrong("orphan in storage", f"{name}, noted nowhere")

    async def _sweep_all(self) -> None:
        """Make everything that waits to be swept due now, and wait until it is swept.

        Names are normally due minutes after their attempt can no longer store files.
        """
        sweep = redis_keys.SWEEP.key()
        deadline = asyncio.get_running_loop().time() + _SWEEPING
        names = await self._redis.zrange(sweep, 0, -1)
        if names:
            await self._redis.zadd(sweep, dict.fromkeys(names, 1), xx=True)
        while await self._redis.zcard(sweep):
            if asyncio.get_running_loop().time() > deadline:
                self._ledger.wrong("not swept", str(await self._redis.zrange(sweep, 0, 5)))
                return
            await asyncio.sleep(0.5)

    def _archived(self, job_id: str) -> dict[str, Any]:
        """The record of a job archived out of Redis; empty if there is none."""
        key = keys.archive_key(_TENANT, job_id)
        try:
            answer = self._storage.get_object(Bucket=BUCKET, Key=key)
        except self._storage.exceptions.NoSuchKey:
            return {}
        record = json.loads(answer["Body"].read())
        return {**record, "input": record["input_id"]}

    def _objects(self) -> set[str]:
        pages = self._storage.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        names = {item["Key"] for page in pages for item in page.get("Contents", [])}
        return {name for name in names if not name.startswith("~erased/")}  # tombstones stay
