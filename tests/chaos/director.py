"""Injects faults, one after the other, those that take long beside them."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence

import psutil
from redis.exceptions import RedisError

from tests.chaos.ground import Fault, Ground

#: How often a kind that found no occasion is tried, where each is wanted once.
_ROUNDS = 6


class Director:
    """Every kind in a new order each round.

    Attributes:
        done: how often each kind took place.
        missed: how often it found no occasion.
    """

    def __init__(self, ground: Ground, kinds: Sequence[type[Fault]]) -> None:
        self._ground = ground
        self._kinds = kinds
        self._aside: set[asyncio.Task[None]] = set()
        self.done: Counter[str] = Counter()
        self.missed: Counter[str] = Counter()

    async def once(self) -> None:
        """Each kind, until all have taken place."""
        absent = list(self._kinds)
        for _ in range(_ROUNDS):
            for kind in self._shuffled(absent):
                await self._inject(kind())
            absent = [kind for kind in absent if not self.done[kind.kind] and not kind.aside]
        await self._see_out()

    async def long(self, seconds: float) -> None:
        """For so long; the rare kinds in every second round."""
        end, rare = time.monotonic() + seconds, True
        while time.monotonic() < end:
            for kind in self._shuffled([kind for kind in self._kinds if rare or not kind.rare]):
                if time.monotonic() > end:
                    break
                await self._inject(kind())
            rare = not rare
        await self._see_out()

    def _shuffled(self, kinds: Sequence[type[Fault]]) -> list[type[Fault]]:
        """In random order; what takes long begins first."""
        order = self._ground.rng.sample(kinds, len(kinds))
        return sorted(order, key=lambda kind: not kind.aside)

    async def _inject(self, fault: Fault) -> None:
        if not fault.aside:
            await self._see(fault)
        elif all(task.get_name() != fault.kind for task in self._aside):
            task = asyncio.create_task(self._see(fault), name=fault.kind)
            self._aside.add(task)
            task.add_done_callback(self._aside.discard)
        await asyncio.sleep(self._ground.plan.gap * (0.5 + self._ground.rng.random()))

    async def _see(self, fault: Fault) -> None:
        began = time.monotonic()
        try:
            took_place = await fault.inject(self._ground)
        except (RedisError, psutil.NoSuchProcess) as error:  # another fault was faster
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

    async def _see_out(self) -> None:
        if self._aside:
            await asyncio.wait(set(self._aside))
