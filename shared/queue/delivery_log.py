"""The log of webhooks that a tenant sees: deliveries, their tries, and replays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from shared.errors import NotFound
from shared.queue import keys as redis_keys
from shared.queue import listing
from shared.queue.connection import Connection, translated
from shared.queue.deliveries import DeliveryState, deliveries_of, job_of


@dataclass(frozen=True, slots=True)
class Try:
    """One try. `status` is the answer's; without an answer, `error` says why."""

    began_ms: int
    took_ms: int
    status: int | None
    error: str | None

    @classmethod
    def parse(cls, line: str) -> Self:
        began, took, status, error = line.split(" ", 3)
        return cls(int(began), int(took), int(status) or None, error or None)


@dataclass(frozen=True, slots=True)
class DeliveryRecord:
    """A delivery and its last tries, oldest first. Times are milliseconds by Redis's clock."""

    id: str
    job_id: str
    url: str
    event: str
    state: DeliveryState
    created_ms: int
    due_ms: int | None  #: None while a try is running and after the last one
    attempts: int  #: times it was taken, whatever the result
    tries: tuple[Try, ...]

    @property
    def size(self) -> int:
        """Bytes of its text."""
        return len(self.url) + sum(100 + len(item.error or "") for item in self.tries)

    @classmethod
    def from_fields(cls, delivery_id: str, fields: Mapping[str, str], log: Sequence[str]) -> Self:
        due = fields.get("due")
        return cls(
            id=delivery_id,
            job_id=job_of(delivery_id),
            url=fields["url"],
            event=fields["event"],
            state=DeliveryState(fields["state"]),
            created_ms=int(fields["created"]),
            due_ms=int(due) if due else None,
            attempts=int(fields["attempts"]),
            tries=tuple(map(Try.parse, log)),
        )


@dataclass(frozen=True, slots=True)
class DeliveryPage:
    """Deliveries, newest first, and where the next page begins (None at the end)."""

    deliveries: tuple[DeliveryRecord, ...]
    cursor: str | None


class DeliveryLog:
    """Each tenant's deliveries, kept as long as the jobs that they report."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, delivery_id: str, tenant: str) -> DeliveryRecord:
        """The delivery of that id.

        Raises:
            NotFound: there is none, or it is another tenant's.
        """
        found = self._read([delivery_id], tenant)
        if not found:
            raise NotFound(f"no such delivery: {delivery_id}")
        return found[0]

    def page(
        self,
        tenant: str,
        *,
        limit: int,
        cursor: str | None = None,
        state: DeliveryState | None = None,
    ) -> DeliveryPage:
        """A tenant's deliveries, newest first. `cursor` is the last one of the page before.

        Raises:
            NotFound: the cursor's delivery is gone.
        """

        def read(ids: Sequence[str]) -> list[tuple[DeliveryRecord, int]]:
            found = self._read(ids, tenant)
            return [(item, item.size) for item in found if state is None or item.state is state]

        redis, index = self._connection.redis, redis_keys.DELIVERIES.key(tenant)
        return DeliveryPage(
            *listing.page(redis, index, read, limit=limit, cursor=cursor, what="delivery")
        )

    def of_job(self, job_id: str, tenant: str) -> list[DeliveryRecord]:
        """The deliveries that report this job, newest first."""
        return self._read(deliveries_of(job_id), tenant)

    def replay(self, delivery_id: str, tenant: str) -> DeliveryRecord:
        """Send it again under its id, whatever its state, and resume its URL's later deliveries.

        A delivery that is being sent is left alone; asking twice sends once.

        Raises:
            NotFound: there is none, or it is another tenant's.
        """
        if not self._connection.run("replay_delivery", id=delivery_id, tenant=tenant):
            raise NotFound(f"no such delivery: {delivery_id}")
        return self.get(delivery_id, tenant)

    def _read(self, ids: Sequence[str], tenant: str) -> list[DeliveryRecord]:
        with translated():
            pipeline = self._connection.redis.pipeline(transaction=False)
            for delivery_id in ids:
                pipeline.hgetall(redis_keys.DELIVERY.key(delivery_id))
                pipeline.lrange(redis_keys.TRIES.key(delivery_id), 0, -1)
            answers = pipeline.execute()
        return [
            DeliveryRecord.from_fields(delivery_id, fields, log)
            for delivery_id, fields, log in zip(ids, answers[::2], answers[1::2], strict=True)
            if fields.get("tenant") == tenant
        ]
