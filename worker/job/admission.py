"""A job's way in: it waits for a download, then for room, and keeps no thread while it waits."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from shared.errors import ServiceError
from shared.job import Lane
from shared.metrics.worker import PERMIT_WAIT
from shared.queue.leases import Load
from worker.engine import Reservation
from worker.job.fetch_slots import FetchSlot
from worker.job.inputs import FetchedPhoto, fetch_ahead, store_ahead
from worker.job.outcome import NO_QUEUE, give_back, settling
from worker.job.room import room_for
from worker.job.run import Run
from worker.job.waiting_room import Line
from worker.runtime import Runtime

log = logging.getLogger("nukki.worker")

#: Does a job whose photo has room; None: its photo's file is still to be read.
Work = Callable[[Run, FetchedPhoto | None], None]


def admit(runtime: Runtime, job_id: str, work: Work) -> None:
    """Do `work` for a job that can be claimed: at once in this thread, or later in another.

    A photo whose size is not known is read first, under the job's lease and a slot, so that a host
    that drips keeps no part of the in-flight limit. Any other job is claimed only once there is
    room for it: until then another worker may take it.
    """
    with _redis_may_be_down(job_id):
        load = runtime.leases.weigh(job_id)
        if load is None:
            return
        line = Line(load.photo.tenant, load.lane is not Lane.BULK, _host(load))
        if runtime.waiting.enter(job_id, line):
            _Admission(runtime, job_id, load, line, work).begin()


class _Admission:
    """One job on its way in, with what it holds so far."""

    def __init__(self, runtime: Runtime, job_id: str, load: Load, line: Line, work: Work) -> None:
        self._runtime = runtime
        self._line = line
        self._job_id = job_id
        self._load = load
        self._work = work
        self._held = ExitStack()
        self._slot: FetchSlot | None = None
        self._run: Run | None = None
        self._photo: FetchedPhoto | None = None
        self._error: ServiceError | None = None
        self._came = 0.0

    def begin(self) -> None:
        load = self._load
        if load.alone:  # it reserves everything, so that a crash takes no other job with it
            if load.photo.to_fetch:
                self._ask_slot(self._store)
            else:
                self._ask_room(self._runtime.pixels_in_flight.whole)
        elif load.photo.to_fetch or load.photo.pixels is None:
            self._ask_slot(self._fetch)
        else:
            self._ask_room(load.photo.pixels + load.extra_pixels)

    def _ask_slot(self, step: Callable[[FetchSlot], None]) -> None:
        line = self._line
        slots = self._runtime.downloads if line.host else self._runtime.reads
        slot = slots.ask(
            partial(self._resume, step), tenant=line.tenant, host=line.host, urgent=line.urgent
        )
        if slot is not None:
            step(slot)

    def _ask_room(self, pixels: int) -> None:
        self._came = time.perf_counter()
        reservation = self._runtime.pixels_in_flight.ask(
            pixels,
            partial(self._resume, self._enter),
            tenant=self._line.tenant,
            urgent=self._line.urgent,
        )
        if reservation is not None:
            self._enter(reservation)

    def _resume(self, step: Callable[[Any], None], granted: FetchSlot | Reservation) -> None:
        self._runtime.threads.resume(self._load.lane, partial(step, granted))

    def _fetch(self, slot: FetchSlot) -> None:
        """Claim the job and read its photo; the slot is kept until there is room for the pixels.

        So the number of jobs that are claimed and wait is bounded as the slots are.
        """
        with self._holding() as held:
            held.callback(slot.close)
            run = self._claimed(held)
            if run is None:
                return
            self._read(run, held)
            if self._photo is None:
                return
            self._slot, self._run = slot, run
            self._held = held.pop_all()
        self._ask_room(room_for(run, self._photo.info))

    def _read(self, run: Run, held: ExitStack) -> None:
        with settling(run), run.stage("fetch"):
            self._photo = held.enter_context(closing(fetch_ahead(run)))

    def _store(self, slot: FetchSlot) -> None:
        """Store the photo of a job that must run alone, unclaimed: it cannot be claimed yet."""
        with closing(slot):
            try:
                store_ahead(self._runtime, self._load.photo)
            except ServiceError as error:
                self._error = error
        self._ask_room(self._runtime.pixels_in_flight.whole)

    def _enter(self, reservation: Reservation) -> None:
        """There is room: do the job."""
        with self._holding() as held:
            held.enter_context(reservation)
            PERMIT_WAIT.observe(time.perf_counter() - self._came)
            if self._slot is not None:
                self._slot.close()
            run = self._run or self._claimed(held)
            if run is None:
                return
            if self._runtime.draining.is_set():
                give_back(self._runtime, run.claim)
            elif self._error is not None:
                with settling(run):
                    raise self._error
            else:
                self._work(run, self._photo)

    @contextmanager
    def _holding(self) -> Iterator[ExitStack]:
        """What the job holds; given up at the end of the block, unless taken from it."""
        with _redis_may_be_down(self._job_id), self._held.pop_all() as held:
            self._runtime.waiting.leave(self._job_id)
            yield held

    def _claimed(self, held: ExitStack) -> Run | None:
        """Claim the job; None if it cannot be claimed any more, or the worker is stopping."""
        if self._runtime.draining.is_set():
            return None
        claim = self._runtime.leases.claim(self._job_id, alone=self._load.alone)
        if claim is None:
            return None
        return Run(self._runtime, held.enter_context(self._runtime.heartbeat.holding(claim)))


def _host(load: Load) -> str:
    """The host that the photo is to be fetched from; empty if it is stored."""
    if not load.photo.to_fetch:
        return ""
    return urlsplit(load.photo.url or "").hostname or "?"


@contextmanager
def _redis_may_be_down(job_id: str) -> Iterator[None]:
    try:
        yield
    except NO_QUEUE:
        log.info("Redis is down; the janitor rings again", extra={"job": job_id})
