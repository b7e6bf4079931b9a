"""A storage that fails, hangs or stops."""

from __future__ import annotations

import asyncio
import signal
from typing import ClassVar

from tests.chaos.ground import Ground
from tests.chaos.plan import STAGE_DEADLINE
from tests.chaos.wire import puts


class StorageFails:
    """The storage answers every request with a 503."""

    kind: ClassVar[str] = "storage 503"
    aside: ClassVar[bool] = False
    rare: ClassVar[bool] = False

    async def inject(self, ground: Ground) -> bool:
        wire = ground.services.storage_wire
        before = wire.refused
        with ground.measures.outage():
            wire.refusing = True
            await asyncio.sleep(2 + 3 * ground.rng.random())
            wire.refusing = False
        return wire.refused > before


class StorageHangs:
    """The storage takes connections and requests, and answers none."""

    kind: ClassVar[str] = "storage hanging"
    aside: ClassVar[bool] = False
    rare: ClassVar[bool] = False

    async def inject(self, ground: Ground) -> bool:
        wire = ground.services.storage_wire
        with ground.measures.outage():
            wire.black_hole()
            await asyncio.sleep(min(12.0, ground.plan.stop))
            wire.surface()
        return True


class StorageStopped:
    """SIGSTOP of the storage for a while."""

    kind: ClassVar[str] = "storage stopped"
    aside: ClassVar[bool] = False
    rare: ClassVar[bool] = True

    async def inject(self, ground: Ground) -> bool:
        with ground.measures.outage():
            ground.services.signal("storage", signal.SIGSTOP)
            try:
                await asyncio.sleep(ground.plan.stop)
            finally:
                ground.services.signal("storage", signal.SIGCONT)
        return True


class PutHangs:
    """A PUT of a result that is answered a byte at a time, past the stage's deadline."""

    kind: ClassVar[str] = "PUT hanging"
    aside: ClassVar[bool] = True
    rare: ClassVar[bool] = False

    async def inject(self, ground: Ground) -> bool:
        wire = ground.services.storage_wire
        for _ in range(6):  # its worker may be killed meanwhile
            gone = await wire.drip(puts("result"), 2 * STAGE_DEADLINE, within=8.0)
            if gone >= 2 * STAGE_DEADLINE:
                ground.ledger.wrong("hung stage", "a PUT held its worker past the deadline")
            if gone >= STAGE_DEADLINE:
                return True
        return False


class UploadBroken:
    """Connections to the storage are reset in the middle of whatever they carry."""

    kind: ClassVar[str] = "storage connections reset"
    aside: ClassVar[bool] = False
    rare: ClassVar[bool] = False

    async def inject(self, ground: Ground) -> bool:
        wire = ground.services.storage_wire
        for _ in range(200):
            if wire.links:
                wire.reset_all()
                return True
            await asyncio.sleep(0.01)
        return False
