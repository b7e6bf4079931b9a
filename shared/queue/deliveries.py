"""The webhooks waiting to be sent, each under one id that never changes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from shared.queue.connection import Connection, pairs


class DeliveryState(StrEnum):
    """Where a delivery is in its life."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One webhook to send. `attempt` counts from 1 and is the token that settles it."""

    id: str
    job_id: str
    tenant: str
    url: str
    event: str
    attempt: int


class DeliveryQueue:
    """Webhooks that are due."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def take(self, *, limit: int, lease_ms: int) -> list[Delivery]:
        """Lease up to `limit` deliveries; one that is not settled in time is taken again."""
        taken = self._connection.run("take_deliveries", limit=limit, lease_ms=lease_ms)
        return [self._delivery(delivery_id, pairs(flat)) for delivery_id, flat in taken]

    def settle(
        self, delivery: Delivery, state: DeliveryState, answer: str, *, delay_ms: int = 0
    ) -> bool:
        """Record what came of a try; False: it was taken again meanwhile."""
        return bool(
            self._connection.run(
                "settle_delivery",
                id=delivery.id,
                attempt=delivery.attempt,
                state=state,
                answer=answer,
                delay_ms=delay_ms,
            )
        )

    @staticmethod
    def _delivery(delivery_id: str, fields: dict[str, str]) -> Delivery:
        return Delivery(
            id=delivery_id,
            job_id=fields["job"],
            tenant=fields["tenant"],
            url=fields["url"],
            event=fields["event"],
            attempt=int(fields["attempts"]),
        )
