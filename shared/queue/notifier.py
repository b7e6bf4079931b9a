"""Rings the doorbell in a background thread, so that callers never wait for the broker."""

from __future__ import annotations

import logging
import queue
import threading

from shared.job import Lane
from shared.queue.doorbell import Bell

log = logging.getLogger("nukki.doorbell")

#: Most rings that wait; further ones are dropped, and the janitor rings for them.
_WAITING = 10_000


class Notifier:
    """Rings the doorbell in order, best effort: waiting rings are lost with the process."""

    def __init__(self, bell: Bell) -> None:
        self._bell = bell
        self._errands: queue.Queue[tuple[str, Lane] | None] = queue.Queue(_WAITING)
        self._thread = threading.Thread(target=self._run, name="notifier", daemon=True)
        self._thread.start()

    def ring(self, job_id: str, lane: Lane) -> bool:
        """Queue a ring; False if too many are waiting. Never blocks."""
        try:
            self._errands.put_nowait((job_id, lane))
        except queue.Full:
            return False
        return True

    def close(self, patience: float = 2.0) -> None:
        """Send the waiting rings, for at most `patience` seconds."""
        try:
            self._errands.put(None, timeout=patience)
        except queue.Full:
            return
        self._thread.join(patience)

    def _run(self) -> None:
        while (errand := self._errands.get()) is not None:
            try:
                self._bell.ring(*errand)
            except Exception:  # the thread must live; the janitor rings for the job
                log.exception("doorbell not rung", extra={"job": errand[0]})
