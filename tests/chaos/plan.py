"""What a run does, and the settings that make its faults quick to be felt."""

from __future__ import annotations

from dataclasses import dataclass

from tests.simulated import simulated

#: Widths that tell the simulated segmenter to kill its process, or to hang.
DEADLY, HANGING = 333, 334


@dataclass(frozen=True, slots=True)
class Plan:
    """One run.

    Attributes:
        seed: of every random choice.
        jobs: how many are to be accepted, at least.
        minutes: how long faults are injected; None: each kind once.
        stop: seconds for which Redis and the storage are stopped.
        gap: seconds between two faults.
        attempts: how often a job is tried; more than by default, since here somebody kills a
            worker every few seconds.
        outstanding: jobs submitted and not yet verified, above which nobody submits.
    """

    seed: int = 1
    jobs: int = 10_000
    minutes: float | None = 20.0
    stop: float = 30.0
    gap: float = 2.0
    attempts: int = 5
    outstanding: int = 300

    @property
    def rate(self) -> float:
        """Jobs submitted a second; more than the average, since outages take their part.

        Not more than two cores can do: then what is measured is how long the queue is.
        """
        return 20.0 if self.minutes is None else 1.6 * self.jobs / (self.minutes * 60)


#: Seconds without a heartbeat after which a job moves on.
LEASE = 4.0
#: Seconds in which another worker is to have a killed one's job.
CLAIMED_WITHIN = LEASE + 2
#: Beyond the storage client's own 10 s of patience, so that a dead storage is no hung stage.
STAGE_DEADLINE = 12.0
WEBHOOK_TIMEOUT = 2.0

SETTINGS = {
    **simulated(seconds=0.01, crash_width=DEADLY, hang_width=HANGING),
    "NUKKI_LEASE": f"{LEASE:g}",
    "NUKKI_STAGE_DEADLINE": f"{STAGE_DEADLINE:g}",
    "NUKKI_SHUTDOWN_GRACE": "1",
    "NUKKI_RECORD_RETENTION": "20",  # so that records are archived, and erased from there
    "NUKKI_WORKER_THREADS": "6",
    "NUKKI_API_THREADS": "16",
    "NUKKI_WEBHOOK_TIMEOUT": f"{WEBHOOK_TIMEOUT:g}",
    "NUKKI_WEBHOOK_SCHEDULE": "0,0.5,1,1,2,2,2,2,3,3,3,3,5,5,5,5,5,5,10,10,10,10,10,10",
    "NUKKI_WEBHOOK_PER_RECEIVER": "16",
    "NUKKI_ALLOW_NETWORKS": "127.0.0.0/8",
}
