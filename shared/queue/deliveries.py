"""The webhooks waiting to be sent, each under one id that never changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from shared.queue.connection import Connection, pairs

#: Leases that a delivery may lose in a row before it is dead. The first costs it the lease's time;
#: before each one after it waits, a lease's time first and then twice as long each time, up to
#: `LONGEST_WAIT_MS`: four hours in all of couriers that die with this one in hand.
MOST_LOST = 12
LONGEST_WAIT_MS = 3600 * 1000


class DeliveryState(StrEnum):
    """Where a delivery is in its life."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"  # every try has failed, or it was lost too often in a row
    SUSPENDED = "suspended"  # its receiver answered 410 Gone, to this one or to one before


@dataclass(frozen=True, slots=True)
class Delivery:
    """One webhook to send.

    `attempt` is which try of the schedule this is, from 1 and anew after a replay: only those count
    that were made and settled. `token` settles it; `share` is the one it takes a carrier of.
    """

    id: str
    job_id: str
    tenant: str
    url: str
    event: str
    attempt: int
    token: int
    share: str


@dataclass(frozen=True, slots=True)
class NextStep:
    """What a try leads to; one that is `pending` is made again after `delay_ms`.

    `spends` is False where the receiver could not be asked for reasons of our own: that was no try.
    """

    state: DeliveryState
    delay_ms: int = 0
    spends: bool = True


class DeliveryQueue:
    """Webhooks that are due."""

    def __init__(self, connection: Connection, *, retention_ms: int) -> None:
        self._connection = connection
        self._retention_ms = retention_ms

    def take(
        self,
        *,
        limit: int,
        per_receiver: int,
        lease_ms: int,
        in_flight: Mapping[str, int] | None = None,
    ) -> list[Delivery]:
        """Lease up to `limit` deliveries, one for each carrier that is free.

        One that is not settled in time is lost with its courier: it is taken again, having spent no
        try of its schedule, until it was lost `MOST_LOST` times in a row.

        A tenant's receivers (host and port) take turns, and each has at most `per_receiver` in
        flight over all couriers; what was leased by a courier that died counts until its lease
        ends. Each tenant has two shares of the carriers: one for its receivers that left their last
        try unanswered, one for the others. Shares take turns too, and none is given a carrier
        unless more are free than it has already (a dynamic threshold: Choudhury and Hahne, IEEE/ACM
        Transactions on Networking 6(2), 1998, with alpha 1). So one share alone has half of the
        carriers at most, `n` of them leave one part in `n + 1` to the next, and no number of hosts
        that hang holds them all. A share that has half as many as are free gives what it still
        gets to receivers that have none, so that some that hang do not hold all of it either.

        Args:
            limit: the carriers that are free.
            per_receiver: the most in flight to one receiver.
            lease_ms: how long a try may take before it counts as lost.
            in_flight: how many carriers of this courier each share has.
        """
        taken = self._connection.run(
            "take_deliveries",
            limit=limit,
            per_receiver=per_receiver,
            lease_ms=lease_ms,
            in_flight=dict(in_flight or {}),
            most_lost=MOST_LOST,
            longest_wait_ms=LONGEST_WAIT_MS,
            retention_ms=self._retention_ms,
        )
        return [self._delivery(found, share, pairs(flat)) for found, share, flat in taken]

    def settle(
        self, delivery: Delivery, step: NextStep, *, took_ms: int, status: int, error: str = ""
    ) -> bool:
        """Record a try of `took_ms` and what comes of it; False: it was taken again meanwhile.

        `status` is 0 where there was no answer, and `error` says why. A step that spends nothing
        is not logged, and leaves open whether the receiver answers.
        """
        return bool(
            self._connection.run(
                "settle_delivery",
                id=delivery.id,
                token=delivery.token,
                state=step.state,
                delay_ms=step.delay_ms,
                spends=step.spends,
                took_ms=took_ms,
                status=status,
                error=error,
                retention_ms=self._retention_ms,
            )
        )

    @staticmethod
    def _delivery(delivery_id: str, share: str, fields: dict[str, str]) -> Delivery:
        return Delivery(
            id=delivery_id,
            job_id=job_of(delivery_id),
            tenant=fields["tenant"],
            url=fields["url"],
            event=fields["event"],
            attempt=int(fields.get("spent", 0)) + 1,
            token=int(fields["attempts"]),
            share=share,
        )


def job_of(delivery_id: str) -> str:
    """The job that a delivery tells of."""
    return "job_" + delivery_id.split("_")[1]


def deliveries_of(job_id: str) -> tuple[str, ...]:
    """The ids of every delivery that a job may have, the newest first."""
    end = "msg_" + job_id.removeprefix("job_")
    return f"{end}_review", end
