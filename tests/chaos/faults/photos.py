"""Photos that harm the worker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random

from tests.chaos.ground import Fault, Ground
from tests.chaos.photos import Photo, deadly, hanging

_PATIENCE = 240.0


async def _poisoned(ground: Ground, draw: Callable[[Random], Photo]) -> bool:
    """Submit it, and wait until its job has ended; the checker judges how."""
    entry = ground.load.post(draw(ground.rng))
    for _ in range(int(_PATIENCE)):
        if entry.verified is not None:
            break
        await asyncio.sleep(1)
    return True


class DeadlyPhoto(Fault):
    """A photo that kills the process every time; nobody else kills one meanwhile."""

    kind = "deadly photo"
    rare = True

    async def inject(self, ground: Ground) -> bool:
        return await _poisoned(ground, deadly)


class DeviceHangs(Fault):
    """A photo that the device never comes back from: the stage's deadline ends each try."""

    kind = "device call hanging"
    aside = True
    rare = True

    async def inject(self, ground: Ground) -> bool:
        return await _poisoned(ground, hanging)
