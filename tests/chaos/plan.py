"""The parameters of a run, and settings under which faults take effect quickly."""

from __future__ import annotations

from dataclasses import dataclass

from tests.simulated import simulated

#: Image widths at which the simulated segmenter kills its process, or hangs.
DEADLY, HANGING = 333, 334


@dataclass(frozen=True, slots=True)
class Plan:
    """The parameters of one run.

    Attributes:
        seed: of every random choice.
        jobs: least number of jobs accepted.
        minutes: how long faults are injected; None: each kind once.
        stop: seconds for which Redis or storage is stopped.
        gap: seconds between two faults.
        attempts: attempts per job; more than the default, because workers are killed every few
            seconds.
        outstanding: limit of jobs submitted and not yet verified; submitting pauses at it.
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
        """Jobs submitted per second; above the average needed, because outages cost time.

        No more than two cores can process, or the run would measure only the queue's length.
        """
        return 20.0 if self.minutes is None else 1.6 * self.jobs / (self.minutes * 60)


#: Seconds without a heartbeat after which a job is returned to its lane.
LEASE = 4.0
#: Most seconds until another worker must have claimed a killed worker's job.
CLAIMED_WITHIN = LEASE + 2
#: Seconds; above the storage client's own 10 s timeout, so that an outage is not a hung stage.
STAGE_DEADLINE = 12.0
WEBHOOK_TIMEOUT = 2.0

SETTINGS = {
    **simulated(seconds=0.01, crash_width=DEADLY, hang_width=HANGING),
    "NUKKI_LEASE": f"{LEASE:g}",
    "NUKKI_STAGE_DEADLINE": f"{STAGE_DEADLINE:g}",
    "NUKKI_SHUTDOWN_GRACE": "1",
    "NUKKI_RECORD_RETENTION": "20",  # so that records are archived and erased from the archive
    "NUKKI_WORKER_THREADS": "6",
    "NUKKI_API_WAITING": "16",
    "NUKKI_WEBHOOK_TIMEOUT": f"{WEBHOOK_TIMEOUT:g}",
    "NUKKI_WEBHOOK_SCHEDULE": "0,0.5,1,1,2,2,2,2,3,3,3,3,5,5,5,5,5,5,10,10,10,10,10,10",
    "NUKKI_WEBHOOK_PER_RECEIVER": "16",
    "NUKKI_ALLOW_NETWORKS": "127.0.0.0/8",
}
