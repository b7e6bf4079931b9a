"""The queue as janitor and sweeper use it. Any number of both may run at once."""

from __future__ import annotations

from dataclasses import dataclass

from shared.errors import Poisoned
from shared.job import Failure, Lane, Outcome
from shared.queue.answers import Remains
from shared.queue.clock import ClockWatch
from shared.queue.connection import Connection
from shared.queue.doorbell import QUEUES
from shared.queue.times import LINGER_MS, RECLAIMED_RING_MS, RING_MS

#: A lane with fewer messages than this, or fewer than two per job, gets another doorbell for an
#: unclaimed job. In a deeper lane the job's message is still there, unless later jobs were served.
SHALLOW = 64
#: Longest time between two rings for a job in a shallow lane, and shortest in a deep one.
SPACING_MS = 30_000
#: In a deep lane a job is checked again after this long per job before it, up to the longest: about
#: when its turn comes, and with a million jobs queued at most a thousand per second.
PLACE_MS = 10
LONGEST_MS = 30 * 60 * 1000
#: By how much Redis's clock may outrun the janitor's: by less than a lease that was just renewed
#: lasts. For the sweeper, whose dates are days away, only a larger jump matters.
JANITOR_SLACK_MS = 2_000
SWEEPER_SLACK_MS = 60_000
#: The latest that a file is noted to be swept, if retention is shorter: an upload is kept twice as
#: long as its signed URL lasts, and that is at most a week.
LONGEST_SWEEP_MS = 14 * 86400 * 1000
#: The lease of workers, where it is not told.
LEASE_MS = 30_000


@dataclass(frozen=True, slots=True)
class Overdue:
    """What the janitor has to do; `more`: it should look again at once."""

    rings: tuple[tuple[str, Lane], ...]
    poisoned: tuple[str, ...]
    more: bool
    jumped: bool = False  #: Redis's clock jumped forward, so nothing was looked at


@dataclass(frozen=True, slots=True)
class Past:
    """A finished job that is due to be archived or erased.

    `remains` is what there is to erase of a job whose record Redis has dropped.
    """

    job_id: str
    erase: bool
    remains: Remains | None = None


def quarantine_at(max_attempts: int) -> int:
    """After how many deaths of its worker a job runs alone.

    Two, or one if two would leave no attempt to run alone. Never none: a job is never blamed for a
    death that a neighbour may have caused.
    """
    return 2 if max_attempts > 2 else 1


class Upkeep:
    """Overdue jobs, expired jobs and unneeded files."""

    def __init__(
        self,
        connection: Connection,
        *,
        max_attempts: int,
        retention_ms: int,
        record_ms: int | None = None,
        lease_ms: int = LEASE_MS,
    ) -> None:
        self._connection = connection
        self._lease_ms = lease_ms
        self._janitor_clock = ClockWatch(JANITOR_SLACK_MS)
        self._sweeper_clock = ClockWatch(SWEEPER_SLACK_MS)
        self._max_attempts = max_attempts
        self._retention_ms = retention_ms
        self._record_ms = record_ms or retention_ms

    def ping(self) -> None:
        """Raise QueueUnavailable unless Redis answers."""
        self._connection.ping()

    def overdue(self, limit: int = 200) -> Overdue:
        """Return the jobs of dead workers, fail poisoned ones, and list unclaimed ones to ring for.

        Args:
            limit: jobs to check at most, which bounds how long the script blocks Redis.
        """
        failure = Failure(code=Poisoned.code, message=Poisoned().message)
        rings, poisoned, more, now_ms, jumped = self._connection.run(
            "overdue",
            limit=limit,
            latest_ms=self._janitor_clock.latest_ms(),
            lease_ms=self._lease_ms,
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
        self._janitor_clock.saw(now_ms)
        return Overdue(
            rings=tuple((job_id, Lane(lane)) for job_id, lane in rings),
            poisoned=tuple(poisoned),
            more=bool(more),
            jumped=bool(jumped),
        )

    def past(self, limit: int = 100) -> list[Past]:
        """Finished jobs to archive or erase; those not handled are listed again after a minute."""
        found, now_ms = self._connection.run(
            "past",
            limit=limit,
            latest_ms=self._sweeper_clock.latest_ms(),
            retention_ms=self._retention_ms,
            linger_ms=LINGER_MS,
        )
        self._sweeper_clock.saw(now_ms)
        return [
            Past(job_id, what == "erase", Remains.parse(name) if name else None)
            for what, job_id, name in found
        ]

    def sweepable(self, limit: int = 100) -> list[str]:
        """Storage keys that nothing refers to; confirm each with `JobQueue.swept`."""
        names, now_ms = self._connection.run(
            "sweepable",
            limit=limit,
            latest_ms=self._sweeper_clock.latest_ms(),
            longest_ms=max(self._retention_ms, LONGEST_SWEEP_MS),
        )
        self._sweeper_clock.saw(now_ms)
        return list(names)
