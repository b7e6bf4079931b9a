"""Photos that harm the worker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import ClassVar

from tests.chaos.ground import Ground
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


class DeadlyPhoto:
    """A photo that kills the process every time; nobody else kills one meanwhile."""

    kind: ClassVar[str] = "deadly photo"
    aside: ClassVar[bool] = False
    rare: ClassVar[bool] = True

    async def inject(self, ground: Ground) -> bool:
        return await _poisoned(ground, deadly)


class DeviceHangs:
    """A photo that the device never comes back from: the stage's deadline ends each try."""

    kind: ClassVar[str] = "device call hanging"
    aside: ClassVar[bool] = True
    rare: ClassVar[bool] = True

    async def inject(self, ground: Ground) -> bool:
        return await _poisoned(ground, hanging)
