"""Injects faults one after another; long ones run in the background."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence

import psutil
from redis.exceptions import RedisError

from tests.chaos.ground import Fault, Ground

#: Most tries per kind of fault in a run that needs each kind once.
_ROUNDS = 6


class Director:
    """Injects every kind of fault, in a new random order each round.

    Attributes:
        done: how often each kind was injected.
        missed: how often each kind could not be injected.
    """

    def __init__(self, ground: Ground, kinds: Sequence[type[Fault]]) -> None:
        self._ground = ground
        self._kinds = kinds
        self._aside: set[asyncio.Task[None]] = set()
        self.done: Counter[str] = Counter()
        self.missed: Counter[str] = Counter()

    async def once(self) -> None:
        """Inject each kind until all have been injected, in at most `_ROUNDS` rounds."""
        absent = list(self._kinds)
        for _ in range(_ROUNDS):
            for kind in self._shuffled(absent):
                await self._inject(kind())
            absent = [kind for kind in absent if not self.done[kind.kind] and not kind.aside]
        await self._finish_background()

    async def long(self, seconds: float) -> None:
        """Inject faults for `seconds`; the rare kinds only in every second round."""
        end, rare = time.monotonic() + seconds, True
        while time.monotonic() < end:
            for kind in self._shuffled([kind for kind in self._kinds if rare or not kind.rare]):
                if time.monotonic() > end:
                    break
                await self._inject(kind())
            rare = not rare
        await self._finish_background()

    def _shuffled(self, kinds: Sequence[type[Fault]]) -> list[type[Fault]]:
        """In random order, but background faults first."""
        order = self._ground.rng.sample(kinds, len(kinds))
        return sorted(order, key=lambda kind: not kind.aside)

    async def _inject(self, fault: Fault) -> None:
        if not fault.aside:
            await self._run(fault)
        elif all(task.get_name() != fault.kind for task in self._aside):
            task = asyncio.create_task(self._run(fault), name=fault.kind)
            self._aside.add(task)
            task.add_done_callback(self._aside.discard)
        await asyncio.sleep(self._ground.plan.gap * (0.5 + self._ground.rng.random()))

    async def _run(self, fault: Fault) -> None:
        began = time.monotonic()
        try:
            took_place = await fault.inject(self._ground)
        except (RedisError, psutil.NoSuchProcess) as error:  # another fault came first
            self._ground.notes.append(f"{fault.kind}: {error!r}")
            took_place = False
        (self.done if took_place else self.missed)[fault.kind] += 1
        ledger = self._ground.ledger
        print(
            f"{time.strftime('%H:%M:%S')}  {fault.kind:<34} {time.monotonic() - began:5.1f} s"
            f"{'' if took_place else ' (no occasion)'}  "
            f"accepted {ledger.accepted}, not verified {len(ledger.pending())}",
            flush=True,
        )

    async def _finish_background(self) -> None:
        if self._aside:
            await asyncio.wait(set(self._aside))
