"""The threads that run a worker's jobs, and how a job that waited gets one."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import Protocol

from shared.job import Lane
from worker.job.bulk_limit import BulkLimit

log = logging.getLogger("nukki.worker")


class Pool(Protocol):
    """The part of Celery's thread pool that is used."""

    def apply_async(
        self, target: Callable[[], None], *, callback: Callable[[object], None]
    ) -> object:
        """Run `target` on one of the pool's threads, behind what it was given before."""


class JobThreads:
    """Celery's threads. A job that waited for room continues on one of them, as if just rung for.

    Attributes:
        bulk: counts the threads that bulk jobs hold.
    """

    def __init__(self, bulk: BulkLimit) -> None:
        self.bulk = bulk
        self._pool: Pool | None = None

    def attach(self, pool: Pool) -> None:
        """Use this pool; until then each job that waited gets a thread of its own."""
        self._pool = pool

    def resume(self, lane: Lane, work: Callable[[], None]) -> None:
        """Run `work` soon; a bulk job only once the bulk limit allows it."""
        if lane is Lane.BULK:
            self.bulk.resume(partial(self._run, partial(self._counted, work)))
        else:
            self._run(work)

    def _counted(self, work: Callable[[], None]) -> None:
        try:
            work()
        finally:
            self.bulk.leave()

    def _run(self, work: Callable[[], None]) -> None:
        work = partial(_logged, work)
        if self._pool is None:
            threading.Thread(target=work, daemon=True).start()
            return
        try:
            self._pool.apply_async(work, callback=lambda _: None)
        except RuntimeError:  # it shuts down: what is claimed is handed back at the end
            log.debug("the worker stops; a job that waited stays queued")


def _logged(work: Callable[[], None]) -> None:
    """Run `work`; nobody else would see its error."""
    try:
        work()
    except Exception:
        log.exception("a job that waited")
