"""What a fault can act on, and the base class of faults."""

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

#: A worker that claimed a job within this time counts as busy.
_RECENT_MS = 2_500
#: Seconds to wait for two busy workers.
_WORKERS_TIMEOUT = 30.0


@dataclass(frozen=True)
class Ground:
    """The running stack, its clients, and the shared random generator."""

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
        """The busy workers, once there are two, so that another can take over a killed one's jobs.

        Waiting keeps the effects of an earlier fault out of this one's measurements. After
        `_WORKERS_TIMEOUT` it returns all workers.
        """
        deadline = time.monotonic() + _WORKERS_TIMEOUT
        while time.monotonic() < deadline:
            found = {name_of(worker): worker for worker in self.services.workers()}
            since = await self.measures.now() - _RECENT_MS
            busy = await self.measures.resumed(since, set(found), self.ledger.lively())
            if len(busy) >= 2:
                return [found[name] for name in sorted(busy)]
            await asyncio.sleep(0.2)
        return self.services.workers()

    async def a_worker(self) -> psutil.Process:
        """A random worker from `warm_workers`."""
        return self.rng.choice(await self.warm_workers())


class Fault(ABC):
    """One kind of fault.

    Attributes:
        kind: its name in the results.
        aside: whether it takes so long that it runs in the background.
        rare: whether it disrupts so much that only every second round has it.
    """

    kind: ClassVar[str]
    aside: ClassVar[bool] = False
    rare: ClassVar[bool] = False

    @abstractmethod
    async def inject(self, ground: Ground) -> bool:
        """Inject the fault and end it; False if there was no opportunity."""
