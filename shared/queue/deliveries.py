"""The queue of webhooks to send, each under one id that never changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from shared.queue.connection import Connection, pairs

#: Leases that a delivery may lose in a row before it is dead. The first loss costs one lease's
#: time. Before each later try the delivery waits: one lease's time, then twice as long each time,
#: up to `LONGEST_WAIT_MS`. That is four hours of couriers that die while sending this delivery.
MOST_LOST = 12
LONGEST_WAIT_MS = 3600 * 1000
#: Characters of a try's error that are kept.
MOST_OF_AN_ERROR = 300


class DeliveryState(StrEnum):
    """Where a delivery is in its life."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"  # every try has failed, or it was lost too often in a row
    SUSPENDED = "suspended"  # its receiver answered 410 Gone, to this one or to one before


@dataclass(frozen=True, slots=True)
class Delivery:
    """One webhook to send.

    `attempt` is the number of this try in the schedule, from 1, and from 1 again after a replay; it
    counts only tries that were made and settled. `token` is needed to settle the delivery. `share`
    is the share of the sender threads that it uses.
    """

    id: str
    job_id: str
    tenant: str
    url: str
    event: str
    attempt: int
    token: int
    share: str
    taken_ms: int  #: by Redis's clock


@dataclass(frozen=True, slots=True)
class NextStep:
    """What follows a try; a `pending` delivery is tried again after `delay_ms`.

    `spends` is False if the receiver was not called for a reason on our side; the try then does not
    count.
    """

    state: DeliveryState
    delay_ms: int = 0
    spends: bool = True


class DeliveryQueue:
    """Leases due webhooks and settles them."""

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
        """Lease up to `limit` deliveries, one for each free sender thread.

        A delivery that is not settled in time counts as lost with its courier. It is taken again,
        without spending a try of its schedule, until it was lost `MOST_LOST` times in a row.

        A tenant's receivers (host and port) take turns, and each has at most `per_receiver`
        deliveries in flight over all couriers; a lease held by a dead courier counts until it ends.
        Each tenant has two shares of the sender threads: one for receivers that left their last try
        unanswered, one for the others. Shares take turns too, and a share gets a thread only while
        more threads are free than it already holds (a dynamic threshold: Choudhury and Hahne,
        IEEE/ACM Transactions on Networking 6(2), 1998, with alpha 1). So one share alone holds at
        most half of the threads, `n` shares leave one part in `n + 1` to the next, and hanging
        hosts can never hold all threads. A share that holds half as many threads as are free gives
        further ones only to receivers that have none, so that a few hanging receivers do not use up
        their share.

        Args:
            limit: free sender threads.
            per_receiver: most deliveries in flight to one receiver.
            lease_ms: how long a try may take before it counts as lost.
            in_flight: sender threads of this courier in use, by share.
        """
        taken, now_ms = self._connection.run(
            "take_deliveries",
            limit=limit,
            per_receiver=per_receiver,
            lease_ms=lease_ms,
            in_flight=dict(in_flight or {}),
            most_lost=MOST_LOST,
            longest_wait_ms=LONGEST_WAIT_MS,
            retention_ms=self._retention_ms,
        )
        return [self._delivery(found, share, pairs(flat), now_ms) for found, share, flat in taken]

    def settle(
        self, delivery: Delivery, step: NextStep, *, took_ms: int, status: int, error: str = ""
    ) -> bool:
        """Record a try of `took_ms` and what follows; False: it was taken again meanwhile.

        `status` is 0 if there was no answer; `error` then says why. A step that spends no try is
        not logged and does not change whether the receiver counts as unanswering.
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
                error=error[:MOST_OF_AN_ERROR],
                retention_ms=self._retention_ms,
            )
        )

    @staticmethod
    def _delivery(delivery_id: str, share: str, fields: dict[str, str], taken_ms: int) -> Delivery:
        return Delivery(
            id=delivery_id,
            job_id=job_of(delivery_id),
            tenant=fields["tenant"],
            url=fields["url"],
            event=fields["event"],
            attempt=int(fields.get("spent", 0)) + 1,
            token=int(fields["attempts"]),
            share=share,
            taken_ms=taken_ms,
        )


def job_of(delivery_id: str) -> str:
    """The id of the job that a delivery reports."""
    return "job_" + delivery_id.split("_")[1]


def deliveries_of(job_id: str) -> tuple[str, ...]:
    """The ids of all deliveries that a job may have, newest first."""
    end = "msg_" + job_id.removeprefix("job_")
    return f"{end}_review", end
