"""Faults of the storage: failing, hanging or stopped."""

from __future__ import annotations

import asyncio
import signal

from tests.chaos.ground import Fault, Ground
from tests.chaos.plan import STAGE_DEADLINE
from tests.chaos.wire import puts


class StorageFails(Fault):
    """The storage answers every request with a 503."""

    kind = "storage 503"

    async def inject(self, ground: Ground) -> bool:
        wire = ground.services.storage_wire
        before = wire.refused
        with ground.measures.outage():
            wire.refusing = True
            await asyncio.sleep(2 + 3 * ground.rng.random())
            wire.refusing = False
        return wire.refused > before


class StorageHangs(Fault):
    """The storage accepts connections and requests and never answers."""

    kind = "storage hanging"

    async def inject(self, ground: Ground) -> bool:
        wire = ground.services.storage_wire
        with ground.measures.outage():
            wire.black_hole()
            await asyncio.sleep(min(12.0, ground.plan.stop))
            wire.surface()
        return True


class StorageStopped(Fault):
    """SIGSTOP of the storage for a while."""

    kind = "storage stopped"
    rare = True

    async def inject(self, ground: Ground) -> bool:
        with ground.measures.outage():
            ground.services.signal("storage", signal.SIGSTOP)
            try:
                await asyncio.sleep(ground.plan.stop)
            finally:
                ground.services.signal("storage", signal.SIGCONT)
        return True


class PutHangs(Fault):
    """A PUT of a result is answered one byte at a time, past the stage deadline."""

    kind = "PUT hanging"
    aside = True

    async def inject(self, ground: Ground) -> bool:
        wire = ground.services.storage_wire
        for _ in range(6):  # another fault may kill its worker
            gone = await wire.drip(puts("result"), 2 * STAGE_DEADLINE, within=8.0)
            if gone >= 2 * STAGE_DEADLINE:
                ground.ledger.wrong("hung stage", "a PUT blocked its worker past the deadline")
            if gone >= STAGE_DEADLINE:
                return True
        return False


class UploadBroken(Fault):
    """Connections to the storage are reset in mid-transfer."""

    kind = "storage connections reset"

    async def inject(self, ground: Ground) -> bool:
        wire = ground.services.storage_wire
        for _ in range(200):
            if wire.links:
                wire.reset_all()
                return True
            await asyncio.sleep(0.01)
        return False
