"""Faults caused by photos that crash or hang the worker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random

from tests.chaos.ground import Fault, Ground
from tests.chaos.photos import Photo, deadly, hanging

#: Seconds to wait for the job to end.
_JOB_TIMEOUT = 240.0


async def _poisoned(ground: Ground, draw: Callable[[Random], Photo]) -> bool:
    """Submit a photo and wait until its job has ended; the checker verifies the outcome."""
    entry = ground.load.post(draw(ground.rng))
    for _ in range(int(_JOB_TIMEOUT)):
        if entry.verified is not None:
            break
        await asyncio.sleep(1)
    return True


class DeadlyPhoto(Fault):
    """A photo that always kills the worker process; no other fault runs meanwhile."""

    kind = "deadly photo"
    rare = True

    async def inject(self, ground: Ground) -> bool:
        return await _poisoned(ground, deadly)


class DeviceHangs(Fault):
    """A photo that hangs the device: the stage deadline ends each attempt."""

    kind = "device call hanging"
    aside = True
    rare = True

    async def inject(self, ground: Ground) -> bool:
        return await _poisoned(ground, hanging)
