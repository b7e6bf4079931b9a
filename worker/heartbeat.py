"""The thread that keeps a worker's leases, and gives up on a stage or a device that hangs."""

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

#: The process's exit status when a stage or the device hung: its jobs go elsewhere, the launcher
#: restarts it.
HUNG = 75
_LONGEST_BEAT = 5.0
#: How often the jobs in hand are looked at, all in one call: one that was canceled stops at its
#: next stage after that.
_LOOK_EVERY = 0.5


def beat_interval(lease: float) -> float:
    """Seconds between two renewals of a lease of so many seconds."""
    return min(lease / 3, _LONGEST_BEAT)


@dataclass(slots=True)
class Lease:
    """A claim in hand: the stage it is in, and when that stage counts as hung."""

    claim: Claim
    stage: str = "claimed"
    deadline: float = field(default=float("inf"))
    lost: bool = False

    def require(self) -> None:
        """Raise LeaseLost where the job is no longer this worker's."""
        if self.lost:
            raise LeaseLost


class Heartbeat:
    """Renews every lease each third of its length, and keeps the worker on the roll.

    Between beats it looks, twice a second, whether a job in hand was canceled or lost.
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
        """Beat for one process.

        Args:
            table: where the leases are kept.
            roll: of the ready workers.
            me: this worker, as it is on the roll.
            lease_seconds: a lease's length.
            device_deadline: by when the device must be done with what it is at, whichever jobs wait
                for it, by `time.monotonic`; infinity while it is idle.
            on_hung: leaves the process.
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
        """Begin to beat; from here the worker counts as ready."""
        self._thread.start()

    def stop(self) -> None:
        """Stop beating and leave the roll."""
        self._stopped.set()
        self._thread.join(timeout=2 * self._interval)
        try:
            self._roll.sign_out(self._me.name)
        except QueueUnavailable:
            log.info("Redis is away; the roll forgets this worker by itself")

    @contextmanager
    def holding(self, claim: Claim) -> Iterator[Lease]:
        """Keep this claim's lease while the block runs."""
        lease = Lease(claim)
        with self._lock:
            self._leases[claim.token] = lease
        try:
            yield lease
        finally:
            with self._lock:
                del self._leases[claim.token]

    def held(self) -> list[Lease]:
        """The leases in hand now."""
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
                if not away:  # once an outage, not twice a second
                    log.warning("no heartbeat: %s", error)
                away = True
            except Exception:
                log.exception("no heartbeat")
            self._stopped.wait(min(_LOOK_EVERY, self._interval))

    def look(self) -> None:
        """Note the leases that are lost."""
        leases = self.held()
        self._note(leases, self._table.lost([lease.claim for lease in leases]))

    def beat(self) -> None:
        """Renew once."""
        leases = self.held()
        if self._hangs(leases):
            self._on_hung()
            return
        self._note(leases, self._table.renew([lease.claim for lease in leases]))
        self._roll.sign_in(self._me)

    def _hangs(self, leases: list[Lease]) -> bool:
        if self._device_deadline() < time.monotonic():
            log.critical("the device hangs: leaving")
            return True
        for lease in leases:
            if lease.deadline < time.monotonic():
                log.critical(
                    "stage %s hangs: leaving", lease.stage, extra={"job": lease.claim.job.id}
                )
                return True
        return False

    @staticmethod
    def _note(leases: list[Lease], lost: frozenset[str]) -> None:
        for lease in leases:
            lease.lost = lease.lost or lease.claim.job.id in lost
