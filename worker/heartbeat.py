"""The thread that renews a worker's leases, and ends the process if a stage or the device hangs."""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from shared.errors import LeaseLost, QueueFull, QueueUnavailable
from shared.queue.leases import Claim, LeaseTable
from shared.queue.workers import WorkerInfo, WorkerRoll

log = logging.getLogger("nukki.worker")

#: Exit status of a worker whose stage or device hung: its jobs go to other workers and the
#: launcher restarts it.
HUNG = 75
_LONGEST_BEAT = 5.0
#: Seconds between checks for canceled jobs, all leases in one call. A canceled job stops at its
#: next stage after the check.
_LOOK_EVERY = 0.5


def beat_interval(lease: float) -> float:
    """Seconds between renewals of a lease of `lease` seconds."""
    return min(lease / 3, _LONGEST_BEAT)


@dataclass(slots=True)
class Lease:
    """A claimed job, its current stage, and the `time.monotonic` at which that stage is hung."""

    claim: Claim
    stage: str = "claimed"
    deadline: float = field(default=float("inf"))
    lost: bool = False

    def require(self) -> None:
        """Raise LeaseLost if the job no longer belongs to this worker."""
        if self.lost:
            raise LeaseLost


class Heartbeat:
    """Renews every lease at each third of its length, and keeps the worker on the roll.

    Between renewals it checks twice per second whether a held job was canceled or lost.
    """

    def __init__(
        self,
        table: LeaseTable,
        roll: WorkerRoll,
        me: WorkerInfo,
        *,
        lease_seconds: float,
        device_deadline: Callable[[], float] = lambda: math.inf,
        on_hung: Callable[[], None] = lambda: os._exit(HUNG),
    ) -> None:
        """Set up the heartbeat of one worker process; `start` runs it.

        Args:
            table: the leases in Redis.
            roll: the ready workers in Redis.
            me: this worker's entry on the roll.
            lease_seconds: length of a lease.
            device_deadline: returns the `time.monotonic` by which the device must finish its
                current batch, whichever jobs wait for it; infinity while it is idle.
            on_hung: ends the process.
        """
        self._table = table
        self._roll = roll
        self._me = me
        self._interval = beat_interval(lease_seconds)
        self._device_deadline = device_deadline
        self._on_hung = on_hung
        self._leases: dict[str, Lease] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._beat_on, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Start the thread; its first beat puts the worker on the roll of ready workers."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread and remove the worker from the roll."""
        self._stopped.set()
        self._thread.join(timeout=2 * self._interval)
        try:
            self._roll.sign_out(self._me.name)
        except QueueUnavailable:
            log.info("Redis is down; this worker's entry on the roll will expire")

    @contextmanager
    def holding(self, claim: Claim) -> Iterator[Lease]:
        """Keep the claim's lease renewed while the block runs."""
        lease = Lease(claim)
        with self._lock:
            self._leases[claim.token] = lease
        try:
            yield lease
        finally:
            with self._lock:
                del self._leases[claim.token]

    def held(self) -> list[Lease]:
        """The leases held now."""
        with self._lock:
            return list(self._leases.values())

    def _beat_on(self) -> None:
        next_beat, away = 0.0, False
        while not self._stopped.is_set():
            try:
                if time.monotonic() < next_beat:
                    self.look()
                else:
                    next_beat = time.monotonic() + self._interval
                    self.beat()
                away = False
            except (QueueUnavailable, QueueFull) as error:
                if not away:  # once per outage, not twice per second
                    log.warning("no heartbeat: %s", error)
                away = True
            except Exception:
                log.exception("no heartbeat")
            self._stopped.wait(min(_LOOK_EVERY, self._interval))

    def look(self) -> None:
        """Mark the leases that were lost."""
        leases = self.held()
        self._note(leases, self._table.lost([lease.claim for lease in leases]))

    def beat(self) -> None:
        """Renew all leases and the entry on the roll once; end the process if something hangs."""
        leases = self.held()
        if self._hangs(leases):
            self._on_hung()
            return
        self._note(leases, self._table.renew([lease.claim for lease in leases]))
        self._roll.sign_in(self._me)

    def _hangs(self, leases: list[Lease]) -> bool:
        if self._device_deadline() < time.monotonic():
            log.critical("the device hangs; exiting")
            return True
        for lease in leases:
            if lease.deadline < time.monotonic():
                log.critical(
                    "stage %s hangs; exiting", lease.stage, extra={"job": lease.claim.job.id}
                )
                return True
        return False

    @staticmethod
    def _note(leases: list[Lease], lost: frozenset[str]) -> None:
        for lease in leases:
            lease.lost = lease.lost or lease.claim.job.id in lost
