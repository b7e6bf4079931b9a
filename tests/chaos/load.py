"""Those who submit: each repeats, under one idempotency key, until the job is taken."""

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

_PATIENCE = 10.0
#: Posts under way at once. Hundreds that time out together leave httpx's pool without a connection.
_CALLERS = 32
#: The share of photos given by URL, and of those the share whose submitter thinks better of it.
_BY_URL, _CHANGED = 0.15, 0.15
#: Seconds after the accept in which that happens: the photo is waiting, fetched, cut or stored.
_CHANGED_WITHIN = 1.0


class Load:
    """Submits photos at a steady rate, until canceled."""

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
        """Submit until `stopped`, then see those under way to their end."""
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
        """Begin to submit one photo; its entry."""
        entry = self._ledger.open(photo, self._plan.seed, fate, by_url=by_url)
        task = asyncio.create_task(self._see_through(entry))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return entry

    async def _see_through(self, entry: Entry) -> None:
        await self.submit(entry)
        if entry.job_id is None or entry.fate is Fate.KEPT:
            return
        await asyncio.sleep(_CHANGED_WITHIN * self._rng.random())
        path = f"/v1/jobs/{entry.job_id}"
        if Fate.CANCELED in entry.fate:
            await self._insist("POST", f"{path}/cancel", {200, 202})
        if Fate.DELETED in entry.fate:
            # A 404: an answer got lost, and the call was made again.
            await self._insist("DELETE", path, {204, 404})
            entry.erased, entry.verified = True, time.monotonic()

    async def _insist(self, method: str, path: str, good: set[int]) -> None:
        """Call until it is answered as it should be."""
        while True:
            try:
                answer = await self._http.request(method, path, timeout=_PATIENCE)
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
        """Post a job until it is taken, always with the same key and the same body."""
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
                        timeout=_PATIENCE,
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
