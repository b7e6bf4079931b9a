"""Faults of webhook receivers."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from tests.chaos.ground import Fault, Ground
from tests.chaos.plan import WEBHOOK_TIMEOUT
from tests.chaos.receivers import Manner


class _Misbehaves(Fault):
    """One receiver answers in `manner` for a while."""

    manner: ClassVar[Manner]

    async def inject(self, ground: Ground) -> bool:
        receiver = ground.rng.choice(ground.receivers)
        before = receiver.misanswered
        receiver.manner = self.manner
        await asyncio.sleep(1.5 * WEBHOOK_TIMEOUT)
        receiver.manner = Manner.WELL
        return receiver.misanswered > before


class ReceiverFails(_Misbehaves):
    """A receiver answers 500."""

    kind = "webhook receiver failing"
    manner = Manner.FAILING


class ReceiverHangs(_Misbehaves):
    """A receiver never answers."""

    kind = "webhook receiver hanging"
    manner = Manner.HANGING


class ReceiverLate(_Misbehaves):
    """A receiver answers after the sender's timeout."""

    kind = "webhook receiver late"
    manner = Manner.LATE


class ReceiverAnswersTwice(_Misbehaves):
    """A receiver gives two answers to one request."""

    kind = "webhook receiver answering twice"
    manner = Manner.TWICE


class ReceiverBreaksOff(_Misbehaves):
    """A receiver reads the message, then drops the connection instead of answering."""

    kind = "webhook receiver breaking off"
    manner = Manner.BREAKING
