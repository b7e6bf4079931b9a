"""Submits jobs, repeating each under its idempotency key until it is accepted."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Sequence
from typing import Any

import httpx

from tests.chaos.ledger import Entry, Fate, Ledger
from tests.chaos.photos import Photo, PhotoServer
from tests.chaos.plan import Plan

#: Seconds to wait for an answer.
_TIMEOUT = 10.0
#: Concurrent submits. Hundreds that time out together would exhaust httpx's connection pool.
_CALLERS = 32
#: The share of photos given by URL, and the share of jobs canceled or deleted by the submitter.
_BY_URL, _CHANGED = 0.15, 0.15
#: Most seconds from accept to that change: the photo is then queued, fetched, cut out or stored.
_CHANGED_WITHIN = 1.0


class Load:
    """Submits photos at a steady rate until `stopped`."""

    def __init__(
        self,
        plan: Plan,
        ledger: Ledger,
        http: httpx.AsyncClient,
        hooks: Sequence[str],
        photos: Sequence[Photo],
        *,
        server: PhotoServer,
    ) -> None:
        self._plan = plan
        self._ledger = ledger
        self._http = http
        self._hooks = hooks
        self._photos = photos
        self._server = server
        self._rng = random.Random(plan.seed)
        self._running: set[asyncio.Task[None]] = set()
        self._callers = asyncio.Semaphore(_CALLERS)
        self.stopped = False

    async def run(self) -> None:
        """Submit until `stopped`, then wait for the submits under way."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while not self.stopped:
            due = max(due + 1 / self._plan.rate, loop.time() - 1.0)
            await asyncio.sleep(max(0.0, due - loop.time()))
            if self._ledger.outstanding < self._plan.outstanding:
                self.post(self._rng.choice(self._photos), self._fate(), by_url=self._is(_BY_URL))
        while self._running:
            await asyncio.wait(set(self._running))

    def _is(self, share: float) -> bool:
        return self._rng.random() < share

    def _fate(self) -> Fate:
        if not self._is(_CHANGED):
            return Fate.KEPT
        return self._rng.choice([Fate.CANCELED, Fate.DELETED, Fate.CANCELED | Fate.DELETED])

    def post(self, photo: Photo, fate: Fate = Fate.KEPT, *, by_url: bool = False) -> Entry:
        """Start submitting one photo; returns its ledger entry."""
        entry = self._ledger.open(photo, self._plan.seed, fate, by_url=by_url)
        task = asyncio.create_task(self._run_job(entry))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return entry

    async def _run_job(self, entry: Entry) -> None:
        await self.submit(entry)
        if entry.job_id is None or entry.fate is Fate.KEPT:
            return
        await asyncio.sleep(_CHANGED_WITHIN * self._rng.random())
        path = f"/v1/jobs/{entry.job_id}"
        if Fate.CANCELED in entry.fate:
            await self._repeat("POST", f"{path}/cancel", {200, 202})
        if Fate.DELETED in entry.fate:
            # A 404: the answer to an earlier try was lost.
            await self._repeat("DELETE", path, {204, 404})
            entry.erased, entry.verified = True, time.monotonic()

    async def _repeat(self, method: str, path: str, good: set[int]) -> None:
        """Repeat a request until its status is in `good`; any unexpected status is wrong."""
        while True:
            try:
                answer = await self._http.request(method, path, timeout=_TIMEOUT)
            except httpx.HTTPError:
                pass
            else:
                if answer.status_code in good:
                    return
                if answer.status_code not in {429, 500, 502, 503}:
                    self._ledger.wrong("refused", f"{method} {path}: {answer.text[:300]}")
                    return
            await asyncio.sleep(0.5)

    async def submit(self, entry: Entry) -> None:
        """Submit a job until it is accepted, always with the same key and the same body."""
        webhook = {
            "url": self._hooks[entry.number % len(self._hooks)],
            "events": ["job.succeeded", "job.failed", "job.canceled"],
        }
        job = {
            "metadata": {"n": entry.number},
            "webhook": webhook,
            "priority": "bulk" if entry.number % 2 else "interactive",
        }
        body: dict[str, Any] = {
            "files": {"image": ("photo.jpg", entry.photo.data, "image/jpeg")},
            "data": {"job": json.dumps(job)},
        }
        if entry.by_url:
            body = {"json": job | {"url": self._server.url_of(entry.photo)}}
        delay = 0.2
        while True:
            entry.posts += 1
            try:
                async with self._callers:
                    answer = await self._http.post(
                        "/v1/jobs",
                        headers={"Idempotency-Key": entry.key},
                        timeout=_TIMEOUT,
                        **body,
                    )
            except httpx.HTTPError as error:
                self._ledger.refused[type(error).__name__] += 1
            else:
                if answer.status_code in {200, 202}:
                    self._ledger.accept(entry, answer.json()["id"])
                    return
                self._ledger.refused[str(answer.status_code)] += 1
                if answer.status_code not in {429, 500, 502, 503}:
                    self._ledger.wrong("submit refused", f"{entry.key}: {answer.text[:300]}")
                    return
                if answer.status_code == 500:
                    self._ledger.wrong("500 to a submit", f"{entry.key}: {answer.text[:300]}")
            await asyncio.sleep(delay)
            delay = min(2.0, 1.6 * delay)
