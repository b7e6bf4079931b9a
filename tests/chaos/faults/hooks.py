"""Webhook receivers that misbehave."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from tests.chaos.ground import Ground
from tests.chaos.plan import WEBHOOK_TIMEOUT
from tests.chaos.receivers import Manner


async def misbehave(ground: Ground, manner: Manner) -> bool:
    """One receiver, in this manner for a while."""
    receiver = ground.rng.choice(ground.receivers)
    before = receiver.misanswered
    receiver.manner = manner
    await asyncio.sleep(1.5 * WEBHOOK_TIMEOUT)
    receiver.manner = Manner.WELL
    return receiver.misanswered > before


class ReceiverFails:
    """A receiver answers 500."""

    kind: ClassVar[str] = "webhook receiver failing"
    aside: ClassVar[bool] = False
    rare: ClassVar[bool] = False

    async def inject(self, ground: Ground) -> bool:
        return await misbehave(ground, Manner.FAILING)


class ReceiverHangs:
    """A receiver never answers."""

    kind: ClassVar[str] = "webhook receiver hanging"
    aside: ClassVar[bool] = False
    rare: ClassVar[bool] = False

    async def inject(self, ground: Ground) -> bool:
        return await misbehave(ground, Manner.HANGING)


class ReceiverLate:
    """A receiver answers when nobody waits any more."""

    kind: ClassVar[str] = "webhook receiver late"
    aside: ClassVar[bool] = False
    rare: ClassVar[bool] = False

    async def inject(self, ground: Ground) -> bool:
        return await misbehave(ground, Manner.LATE)


class ReceiverAnswersTwice:
    """A receiver gives two answers to one request."""

    kind: ClassVar[str] = "webhook receiver answering twice"
    aside: ClassVar[bool] = False
    rare: ClassVar[bool] = False

    async def inject(self, ground: Ground) -> bool:
        return await misbehave(ground, Manner.TWICE)


class ReceiverBreaksOff:
    """A receiver takes the message, and breaks the connection instead of answering."""

    kind: ClassVar[str] = "webhook receiver breaking off"
    aside: ClassVar[bool] = False
    rare: ClassVar[bool] = False

    async def inject(self, ground: Ground) -> bool:
        return await misbehave(ground, Manner.BREAKING)
