"""One job, read top to bottom: fetch, decode, segment, cut, frame, store, finish."""

from __future__ import annotations

import logging
import time

from shared.errors import LeaseLost
from shared.images.decode import decode
from shared.job import Lane, Outcome, Status
from shared.metrics.worker import LEASE_LOSSES, PERMIT_WAIT
from shared.queue.leases import Claim
from worker.engine import Reservation
from worker.framing.publication import Trimmings, publish
from worker.job.cut import Cut, cut_out
from worker.job.earlier import Earlier
from worker.job.inputs import fetch_backdrop, fetch_parent, fetch_photo
from worker.job.outcome import NO_QUEUE, clean_up, finish, settle
from worker.job.results import result_files, store
from worker.job.run import Run
from worker.job.segmentation import segment
from worker.review.doubts import doubts
from worker.review.subject import measure
from worker.runtime import Runtime

log = logging.getLogger("nukki.worker")


def process(runtime: Runtime, job_id: str) -> None:
    """Claim the job that a doorbell names, if it can still be claimed, and run it to its end.

    Claims only once there is room for its photo: until then another worker may take it.
    """
    try:
        load = runtime.leases.weigh(job_id)
        if load is None:
            return
        pixels = (load.pixels or runtime.settings.max_pixels) + load.extra_pixels
        if load.alone:  # it reserves everything, so that a crash takes no other job with it
            pixels = runtime.pixels_in_flight.whole
        came = time.perf_counter()
        with runtime.pixels_in_flight.holding(
            pixels, urgent=load.lane is not Lane.BULK
        ) as reservation:
            PERMIT_WAIT.observe(time.perf_counter() - came)
            if runtime.draining.is_set():
                return
            claim = runtime.leases.claim(job_id, alone=load.alone)
            if claim is not None:
                _run(runtime, claim, None if load.alone else reservation)
    except NO_QUEUE:
        log.info("Redis is down; the janitor rings again", extra={"job": job_id})


def _run(runtime: Runtime, claim: Claim, reservation: Reservation | None) -> None:
    """Do the job under its lease, and settle whatever goes wrong."""
    job_id = claim.job.id
    with runtime.heartbeat.holding(claim) as lease:
        run = Run(runtime, lease, reservation)
        try:
            outcome = _work(run)
            finish(run, Status.SUCCEEDED, outcome)
        except LeaseLost:
            LEASE_LOSSES.inc()
            log.info("lease lost: the job is no longer this worker's", extra={"job": job_id})
            clean_up(run)
        except NO_QUEUE:
            log.warning("Redis is down; another worker takes the job", extra={"job": job_id})
        except Exception as error:  # noqa: BLE001  # any error must end the job
            settle(run, error)


def _work(run: Run) -> Outcome:
    """Do everything up to writing the record."""
    request, settings, engine = run.claim.job.request, run.runtime.settings, run.runtime.engine
    with run.stage("fetch"):
        data, digest = fetch_photo(run)
        parent, backdrop = fetch_parent(run), fetch_backdrop(run)
    with run.work("decode"):
        photo = decode(data, max_pixels=settings.max_pixels)
        run.warnings += photo.warnings
        earlier = Earlier.read(parent, engine.model)
        trimmings = Trimmings.read(request.output, data, backdrop, settings.max_pixels)
        del data, parent, backdrop
    finding = segment(run, photo, digest, earlier) if request.render is None else None
    model = None if finding is None else engine.model
    with run.work("compose"):
        cut = Cut(earlier.alpha_of(photo)) if finding is None else cut_out(request, photo, finding)
        reasons = (*cut.reasons, *doubts(cut.alpha, cut.judged, settings.review))
        subject = measure(cut.alpha, cut.scores, tuple(dict.fromkeys(reasons)), cut.stability)
        made = publish(photo.rgb, cut.alpha, request.output, subject.box, trimmings)
        run.warnings += made.warnings
        files = result_files(made.file, cut, model)
    with run.stage("store"):
        result = store(run, files, made.size)
    return run.outcome(model=model, result=result, subject=subject, compliance=made.compliance)
