"""The queue as the janitor uses it. Any number of janitors may run at once."""

from __future__ import annotations

from dataclasses import dataclass

from shared.errors import Poisoned
from shared.job import Failure, Lane, Outcome
from shared.queue.connection import Connection
from shared.queue.doorbell import QUEUES
from shared.queue.jobs import LINGER_MS, RING_MS

#: A lane with fewer messages than this is rung again for a job that nobody came for.
SHALLOW = 64
#: The most a doorbell is spaced out, and the wait in a deep lane.
SPACING_MS = 30_000
#: After this long a job is rung for however deep its lane is.
LONG_MS = 10 * 60 * 1000


@dataclass(frozen=True, slots=True)
class Overdue:
    """What the janitor's look asks for."""

    rings: tuple[tuple[str, Lane], ...]
    poisoned: tuple[str, ...]


class Upkeep:
    """What time does to jobs and files."""

    def __init__(self, connection: Connection, *, max_attempts: int, retention_ms: int) -> None:
        self._connection = connection
        self._max_attempts = max_attempts
        self._retention_ms = retention_ms

    def overdue(self, limit: int = 200) -> Overdue:
        """Ring again for forgotten jobs, take back those of dead workers, fail the poisoned."""
        failure = Failure(code=Poisoned.code, message=Poisoned().message)
        rings, poisoned = self._connection.run(
            "overdue",
            limit=limit,
            queues={lane.value: queue for lane, queue in QUEUES.items()},
            shallow=SHALLOW,
            ring_ms=RING_MS,
            spacing_ms=SPACING_MS,
            long_ms=LONG_MS,
            linger_ms=LINGER_MS,
            retention_ms=self._retention_ms,
            max_attempts=self._max_attempts,
            poisoned=Outcome(error=failure).model_dump_json(exclude_none=True),
        )
        return Overdue(tuple((job_id, Lane(lane)) for job_id, lane in rings), tuple(poisoned))

    def expired(self, limit: int = 100) -> list[str]:
        """Jobs past their retention."""
        return list(self._connection.run("expired", limit=limit))

    def sweepable(self, limit: int = 100) -> list[str]:
        """Storage keys that nothing refers to; confirm each with `JobQueue.swept`."""
        return list(self._connection.run("sweepable", limit=limit))
