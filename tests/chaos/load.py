"""Those who submit: each repeats, under one idempotency key, until the job is taken."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Sequence

import httpx

from tests.chaos.ledger import Entry, Ledger
from tests.chaos.photos import Photo
from tests.chaos.plan import Plan

_PATIENCE = 10.0
#: Posts under way at once. Hundreds that time out together leave httpx's pool without a connection.
_CALLERS = 32


class Load:
    """Submits photos at a steady rate, until canceled."""

    def __init__(
        self,
        plan: Plan,
        ledger: Ledger,
        http: httpx.AsyncClient,
        hooks: Sequence[str],
        photos: Sequence[Photo],
    ) -> None:
        self._plan = plan
        self._ledger = ledger
        self._http = http
        self._hooks = hooks
        self._photos = photos
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
                self.post(self._rng.choice(self._photos))
        while self._running:
            await asyncio.wait(set(self._running))

    def post(self, photo: Photo) -> Entry:
        """Begin to submit one photo; its entry."""
        entry = self._ledger.open(photo, self._plan.seed)
        task = asyncio.create_task(self.submit(entry))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return entry

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
        delay = 0.2
        while True:
            entry.posts += 1
            try:
                async with self._callers:
                    answer = await self._http.post(
                        "/v1/jobs",
                        headers={"Idempotency-Key": entry.key},
                        files={"image": ("photo.jpg", entry.photo.data, "image/jpeg")},
                        data={"job": json.dumps(job)},
                        timeout=_PATIENCE,
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
