"""The queue as the janitor uses it. Any number of janitors may run at once."""

from __future__ import annotations

from dataclasses import dataclass

from shared.errors import Poisoned
from shared.job import Failure, Lane, Outcome
from shared.queue.connection import Connection
from shared.queue.doorbell import QUEUES
from shared.queue.jobs import LINGER_MS, RECLAIMED_RING_MS, RING_MS
from shared.queue.verdicts import Remains

#: A lane with fewer messages than this, or than two a job, is rung again for a job that nobody came
#: for. In a deeper one a job's message is still there, unless later ones were served before it.
SHALLOW = 64
#: The most a doorbell is spaced out in a shallow lane, and the least in a deep one.
SPACING_MS = 30_000
#: In a deep lane a job is looked at again after this long for each job before it, up to the
#: longest: about when its turn may come, and of a million queued a thousand a second at most.
PLACE_MS = 10
LONGEST_MS = 30 * 60 * 1000


@dataclass(frozen=True, slots=True)
class Overdue:
    """What the janitor's look asks for; `more` where the next look should come at once."""

    rings: tuple[tuple[str, Lane], ...]
    poisoned: tuple[str, ...]
    more: bool


@dataclass(frozen=True, slots=True)
class Past:
    """A finished job whose time has come: to be archived, or to be erased.

    `remains` is what there is to erase of one whose record Redis has let go.
    """

    job_id: str
    erase: bool
    remains: Remains | None = None


def quarantine_at(max_attempts: int) -> int:
    """After how many deaths of its worker a job runs alone.

    Two, or one where two would leave no attempt to be made alone; never none: nobody is found
    guilty of a death that a neighbour may have caused.
    """
    return 2 if max_attempts > 2 else 1


class Upkeep:
    """What time does to jobs and files."""

    def __init__(
        self,
        connection: Connection,
        *,
        max_attempts: int,
        retention_ms: int,
        record_ms: int | None = None,
    ) -> None:
        self._connection = connection
        self._max_attempts = max_attempts
        self._retention_ms = retention_ms
        self._record_ms = record_ms or retention_ms

    def ping(self) -> None:
        """Raise QueueUnavailable unless Redis answers."""
        self._connection.ping()

    def overdue(self, limit: int = 200) -> Overdue:
        """Take back the jobs of dead workers, fail the poisoned, ring again for forgotten ones.

        Args:
            limit: of jobs looked at, which bounds how long Redis serves nobody else.
        """
        failure = Failure(code=Poisoned.code, message=Poisoned().message)
        rings, poisoned, more = self._connection.run(
            "overdue",
            limit=limit,
            queues={lane.value: queue for lane, queue in QUEUES.items()},
            shallow=SHALLOW,
            ring_ms=RING_MS,
            reclaimed_ms=RECLAIMED_RING_MS,
            spacing_ms=SPACING_MS,
            place_ms=PLACE_MS,
            longest_ms=LONGEST_MS,
            linger_ms=LINGER_MS,
            retention_ms=self._retention_ms,
            record_ms=self._record_ms,
            max_attempts=self._max_attempts,
            quarantine_at=quarantine_at(self._max_attempts),
            poisoned=Outcome(error=failure).model_dump_json(exclude_none=True),
        )
        return Overdue(
            rings=tuple((job_id, Lane(lane)) for job_id, lane in rings),
            poisoned=tuple(poisoned),
            more=bool(more),
        )

    def past(self, limit: int = 100) -> list[Past]:
        """Finished jobs to archive or to erase; what is not done is named again in a minute."""
        found = self._connection.run(
            "past", limit=limit, retention_ms=self._retention_ms, linger_ms=LINGER_MS
        )
        return [
            Past(job_id, what == "erase", Remains.parse(name) if name else None)
            for what, job_id, name in found
        ]

    def sweepable(self, limit: int = 100) -> list[str]:
        """Storage keys that nothing refers to; confirm each with `JobQueue.swept`."""
        return list(self._connection.run("sweepable", limit=limit))
