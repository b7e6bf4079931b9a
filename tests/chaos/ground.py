"""What a fault may reach."""

from __future__ import annotations

import asyncio
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import psutil

from tests.chaos.ledger import Ledger
from tests.chaos.load import Load
from tests.chaos.measures import Measures
from tests.chaos.plan import Plan
from tests.chaos.receivers import Receiver
from tests.chaos.services import Services, name_of

#: A worker that claimed a job so lately is at work.
_RECENT_MS = 2_500
#: Seconds to wait for two of them.
_PATIENCE = 30.0


@dataclass(frozen=True)
class Ground:
    """The running stack, those who use it, and the one source of chance."""

    plan: Plan
    rng: random.Random
    services: Services
    redis: Any
    ledger: Ledger
    load: Load
    measures: Measures
    receivers: Sequence[Receiver]
    notes: list[str] = field(default_factory=list)

    async def warm_workers(self) -> list[psutil.Process]:
        """The workers at work, once there are two: the jobs of one that dies have somewhere to go.

        What an earlier fault has stopped must not be laid at this one's door.
        """
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            found = {name_of(worker): worker for worker in self.services.workers()}
            since = await self.measures.now() - _RECENT_MS
            busy = await self.measures.resumed(since, set(found), self.ledger.lively())
            if len(busy) >= 2:
                return [found[name] for name in sorted(busy)]
            await asyncio.sleep(0.2)
        return self.services.workers()

    async def a_worker(self) -> psutil.Process:
        """One of them."""
        return self.rng.choice(await self.warm_workers())


class Fault(ABC):
    """A kind of fault.

    Attributes:
        kind: its name in the tally.
        aside: whether it takes so long that others go on beside it.
        rare: whether it stops so much that only every second round has it.
    """

    kind: ClassVar[str]
    aside: ClassVar[bool] = False
    rare: ClassVar[bool] = False

    @abstractmethod
    async def inject(self, ground: Ground) -> bool:
        """Let it happen, and be over; False where there was no occasion."""
