"""The webhooks waiting to be sent, each under one id that never changes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from shared.queue.connection import Connection, pairs


class DeliveryState(StrEnum):
    """Where a delivery is in its life."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"  # every try has failed
    SUSPENDED = "suspended"  # its receiver answered 410 Gone, to this one or to one before


@dataclass(frozen=True, slots=True)
class Delivery:
    """One webhook to send. `attempt` counts from 1, anew after a replay; `token` settles it."""

    id: str
    job_id: str
    tenant: str
    url: str
    event: str
    attempt: int
    token: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a try leads to; one that is `pending` is made again after `delay_ms`."""

    state: DeliveryState
    delay_ms: int = 0


class DeliveryQueue:
    """Webhooks that are due."""

    def __init__(self, connection: Connection, *, retention_ms: int) -> None:
        self._connection = connection
        self._retention_ms = retention_ms

    def take(self, *, limit: int, per_receiver: int, lease_ms: int) -> list[Delivery]:
        """Lease up to `limit` deliveries; one that is not settled in time is taken again.

        Receivers (host and port) take turns, and each has at most `per_receiver` in flight over all
        couriers; what was leased by a courier that died counts until its lease ends.
        """
        taken = self._connection.run(
            "take_deliveries",
            limit=limit,
            per_receiver=per_receiver,
            lease_ms=lease_ms,
            retention_ms=self._retention_ms,
        )
        return [self._delivery(delivery_id, pairs(flat)) for delivery_id, flat in taken]

    def settle(
        self, delivery: Delivery, verdict: Verdict, *, took_ms: int, status: int, error: str = ""
    ) -> bool:
        """Record a try of `took_ms` and what comes of it; False: it was taken again meanwhile.

        `status` is 0 where there was no answer, and `error` says why.
        """
        return bool(
            self._connection.run(
                "settle_delivery",
                id=delivery.id,
                token=delivery.token,
                state=verdict.state,
                delay_ms=verdict.delay_ms,
                took_ms=took_ms,
                status=status,
                error=error,
                retention_ms=self._retention_ms,
            )
        )

    @staticmethod
    def _delivery(delivery_id: str, fields: dict[str, str]) -> Delivery:
        tries = int(fields["attempts"])
        return Delivery(
            id=delivery_id,
            job_id=job_of(delivery_id),
            tenant=fields["tenant"],
            url=fields["url"],
            event=fields["event"],
            attempt=tries - int(fields.get("base", 0)),
            token=tries,
        )


def job_of(delivery_id: str) -> str:
    """The job that a delivery tells of."""
    return "job_" + delivery_id.split("_")[1]


def deliveries_of(job_id: str) -> tuple[str, ...]:
    """The ids of every delivery that a job may have, the newest first."""
    end = "msg_" + job_id.removeprefix("job_")
    return f"{end}_review", end
