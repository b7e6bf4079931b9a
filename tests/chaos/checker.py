"""Checks every job's outcome: once after its webhook, and again before the job is erased."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
from redis.exceptions import RedisError

from shared.queue import keys as redis_keys
from tests.chaos.ledger import Entry, Fate, Ledger

#: Seconds between the two checks: long enough for a late second finish to do harm.
_SETTLE = 12.0
#: One job in this many is kept for the storage audit.
_KEPT = 25
_FIELDS = ("status", "finished", "ended_by", "claims", "worker")


class Checker:
    """Verifies and erases jobs until canceled."""

    def __init__(
        self,
        ledger: Ledger,
        http: httpx.AsyncClient,
        redis: Any,
        expected: Mapping[str, bytes],
        evidence: Path,
    ) -> None:
        """Start with nothing verified.

        Args:
            ledger: the jobs.
            http: a client of the API.
            redis: a client of Redis, not through the proxy.
            expected: the fault-free result of each photo, by name.
            evidence: a folder for results that differ.
        """
        self._ledger = ledger
        self._http = http
        self._redis = redis
        self._expected = expected
        self._evidence = evidence
        self.verified = 0

    async def run(self) -> None:
        """Verify jobs as their webhooks arrive."""
        async with asyncio.TaskGroup() as group:
            for _ in range(8):
                group.create_task(self._verify_on())
            group.create_task(self._erase_on())

    async def _verify_on(self) -> None:
        while True:
            entry = await self._ledger.to_verify.get()
            while entry.verified is None:
                try:
                    await self.verify(entry)
                except (httpx.HTTPError, RedisError, OSError):
                    await asyncio.sleep(0.5)

    async def verify(self, entry: Entry) -> None:
        """Check a job for the first time: its outcome, its record, its bytes.

        Raises:
            httpx.HTTPError, RedisError: no answer; try again.
        """
        answer = await self._http.get(f"/v1/jobs/{entry.job_id}", timeout=10)
        if answer.status_code == 404:
            self._wrong(entry, "lost", "the API does not know it")
            entry.verified = time.monotonic()
            return
        answer.raise_for_status()
        job = answer.json()
        seen = await self._record(entry)
        fails = entry.photo.fails
        if fails is not None:
            if job["status"] != "failed" or job["error"]["code"] != fails:
                self._wrong(entry, "not poisoned", f"{job['status']} {job['error']}")
        elif job["status"] == "canceled" and Fate.CANCELED in entry.fate:
            pass
        elif job["status"] != "succeeded":
            self._wrong(entry, "lost", f"{job['status']} {job['error']}")
        else:
            await self._compare(entry, job["result"]["sha256"])
        entry.seen, entry.view = seen, _view_of(job)
        entry.kept = entry.number % _KEPT == 0
        entry.verified = time.monotonic()
        self.verified += 1

    async def _compare(self, entry: Entry, digest: str) -> None:
        expected = self._expected[entry.photo.name]
        if digest != hashlib.sha256(expected).hexdigest():
            self._wrong(entry, "corrupt", f"its record has the digest {digest}")
        result = await self._http.get(
            f"/v1/jobs/{entry.job_id}/result", follow_redirects=True, timeout=10
        )
        if result.status_code == 404:
            self._wrong(entry, "corrupt", "its result is not in storage")
            return
        result.raise_for_status()
        if result.content != expected:
            self._wrong(entry, "corrupt", f"{len(result.content)} other bytes")
            await self._keep(entry, result.content, expected)

    async def _keep(self, entry: Entry, result: bytes, expected: bytes) -> None:
        """Save the job's result, the expected result, and its record."""
        self._evidence.mkdir(exist_ok=True)
        name = str(entry.job_id)
        (self._evidence / f"{name}-result.png").write_bytes(result)
        (self._evidence / f"{name}-expected.png").write_bytes(expected)
        record = await self._redis.hgetall(redis_keys.JOB.key(name))
        (self._evidence / f"{name}-job.json").write_text(json.dumps(record, indent=1))

    async def _record(self, entry: Entry) -> tuple[str, ...]:
        found = await self._redis.hmget(redis_keys.JOB.key(str(entry.job_id)), *_FIELDS)
        return tuple(value or "" for value in found)

    async def _erase_on(self) -> None:
        """Erase jobs verified a while ago, so that faults hit erasing as well."""
        while True:
            horizon = time.monotonic() - _SETTLE
            ready = [
                entry
                for entry in self._ledger.entries
                if entry.verified is not None and entry.verified < horizon
                if not entry.erased and not entry.kept
            ]
            for start in range(0, len(ready), 4):
                await asyncio.gather(*map(self.erase, ready[start : start + 4]))
            await asyncio.sleep(0.5)

    async def emptied(self) -> None:
        """Return when every verified job is erased, except those kept for the audit."""
        while any(
            not entry.erased and not entry.kept
            for entry in self._ledger.entries
            if entry.verified is not None
        ):
            await asyncio.sleep(0.2)

    async def erase(self, entry: Entry) -> None:
        """Check a job for the second time, then erase it; retries until it succeeds."""
        while not entry.erased:
            try:
                if not entry.erasing and entry.seen is not None:
                    await self._look_again(entry)
                    entry.erasing = True
                answer = await self._http.delete(f"/v1/jobs/{entry.job_id}", timeout=10)
                # A 404: the answer to an earlier try was lost.
                entry.erased = answer.status_code in {204, 404}
            except (httpx.HTTPError, RedisError, OSError):
                pass
            if not entry.erased:
                await asyncio.sleep(0.5)

    async def _look_again(self, entry: Entry) -> None:
        answer = await self._http.get(f"/v1/jobs/{entry.job_id}", timeout=10)
        answer.raise_for_status()
        view, seen = _view_of(answer.json()), await self._record(entry)
        if view != entry.view:
            self._wrong(entry, "finished twice", f"{entry.view}, then {view}")
        if any(seen) and seen != entry.seen:  # empty: it was archived out of Redis
            self._wrong(entry, "finished twice", f"{entry.seen}, then {seen}")
        if self._ledger.announced[entry.job_id or ""] > 1:
            self._wrong(entry, "finished twice", "its end was announced more than once")

    def _wrong(self, entry: Entry, kind: str, what: str) -> None:
        self._ledger.wrong(kind, f"{entry.job_id} ({entry.photo.name}): {what}")


def _view_of(job: Mapping[str, Any]) -> tuple[str, str]:
    return str(job["status"]), str(job.get("finished_at"))


async def listen(ledger: Ledger, redis: Any) -> None:
    """Count the messages that announce each job's outcome until canceled; survives Redis restarts.

    Messages sent while Redis is down are missed; none is counted twice.
    """
    while True:
        try:
            async with redis.pubsub() as channel:
                await channel.subscribe(redis_keys.FINISHED.key())
                async for message in channel.listen():
                    if message["type"] == "message":
                        ledger.announced[message["data"]] += 1
        except (RedisError, OSError):
            await asyncio.sleep(0.2)
