"""One job, read top to bottom: fetch, decode, segment, compose, store, finish."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import time

from shared.arrays import UInt8Array
from shared.errors import LeaseLost, NotFound
from shared.images.decode import decode
from shared.images.encode import encode
from shared.images.photo import Photo
from shared.images.probe import probe
from shared.job import Lane, Outcome, Result, Status
from shared.metrics.worker import LEASE_LOSSES, PERMIT_WAIT
from shared.queue.leases import Claim
from shared.schema import Output, OutputFormat
from shared.storage import keys
from worker.engine import Reservation
from worker.framing.publication import Trimmings, publish
from worker.job.cut import Cut, Earlier, write_logits
from worker.job.outcome import NO_QUEUE, clean_up, finish, settle
from worker.job.run import Run
from worker.job.segmentation import cut_out, segment
from worker.review.doubts import doubts
from worker.review.subject import measure
from worker.runtime import Runtime

log = logging.getLogger("nukki.worker")


def process(runtime: Runtime, job_id: str) -> None:
    """Answer a doorbell: claim the job, if it is there to be claimed, and see it to its end.

    Not before there is room for its photo: until then another worker may claim it.
    """
    try:
        load = runtime.leases.weigh(job_id)
        if load is None:
            return
        pixels = (load.pixels or runtime.settings.max_pixels) + load.extra_pixels
        if load.alone:  # with all of them in hand nothing else is: it kills no neighbour
            pixels = runtime.pixels_in_flight.limit
        came = time.perf_counter()
        with runtime.pixels_in_flight.holding(pixels, urgent=load.lane is not Lane.BULK) as permit:
            PERMIT_WAIT.observe(time.perf_counter() - came)
            if runtime.draining.is_set():
                return
            claim = runtime.leases.claim(job_id, alone=load.alone)
            if claim is not None:
                _see_through(runtime, claim, None if load.alone else permit)
    except NO_QUEUE:
        log.info("Redis is away; the janitor rings again", extra={"job": job_id})


def _see_through(runtime: Runtime, claim: Claim, permit: Reservation | None) -> None:
    job_id = claim.job.id
    with runtime.heartbeat.holding(claim) as lease:
        run = Run(runtime, lease, permit)
        try:
            outcome = _work(run)
            finish(run, Status.SUCCEEDED, outcome)
        except LeaseLost:
            LEASE_LOSSES.inc()
            log.info("no longer this worker's", extra={"job": job_id})
            clean_up(run)
        except NO_QUEUE:
            log.warning("Redis is away; the job goes to another", extra={"job": job_id})
        except Exception as error:  # noqa: BLE001  # a job must end, whatever its photo provokes
            settle(run, error)


def _work(run: Run) -> Outcome:
    """All of the work, up to where only the record is left to write."""
    job = run.claim.job
    with run.stage("fetch"):
        data, digest = _fetch(run)
        parent, backdrop = _fetch_parent(run), _fetch_backdrop(run)
    with run.work("decode"):
        max_pixels = run.runtime.settings.max_pixels
        photo = decode(data, max_pixels=max_pixels)
        run.warnings += photo.warnings
        earlier = Earlier.read(parent, run.runtime.engine.model)
        trimmings = Trimmings.read(job.request.output, data, backdrop, max_pixels)
        del data, parent, backdrop
    finding = None
    if job.request.render is None:
        finding = segment(run, photo, digest, earlier)
    model = None if finding is None else run.runtime.engine.model
    with run.work("compose"):
        if finding is None:
            cut = Cut(_same_size(earlier.alpha, photo))
        else:
            cut = cut_out(job.request, photo, finding)
        reasons = (*cut.reasons, *doubts(cut.alpha, cut.judged, run.runtime.settings.review))
        subject = measure(cut.alpha, cut.scores, tuple(dict.fromkeys(reasons)), cut.stability)
        made = publish(photo.rgb, cut.alpha, job.request.output, subject.box, trimmings)
        run.warnings += made.warnings
        files = {
            keys.RESULT: made.file,
            keys.ALPHA: encode(cut.alpha, OutputFormat.PNG),
        }
        if cut.logits is not None:
            files[keys.LOGITS] = write_logits(cut.logits, str(model))
    with run.stage("store"):
        result = _store(run, files, made.size, job.request.output)
    return run.outcome(model=model, result=result, subject=subject, compliance=made.compliance)


def _fetch(run: Run) -> tuple[bytes, str]:
    """The photo's bytes and their SHA-256; from its URL the first time, and then kept.

    Raises:
        LeaseLost: the job was taken away, or erased with its photo, meanwhile.
    """
    runtime, photo = run.runtime, run.claim.photo
    key = keys.input_key(photo.tenant, photo.id)
    if photo.stored or photo.url is None:
        data = runtime.storage.get(key)
    else:
        data = runtime.outbound.fetch(
            photo.url,
            max_bytes=runtime.settings.max_bytes,
            timeout=runtime.settings.fetch_timeout,
        )
        run.lease.require()  # which may have been lost while the photo came
        runtime.storage.put(key, data, "application/octet-stream")
    digest = photo.digest or hashlib.sha256(data).hexdigest()
    pixels = photo.pixels or probe(data, max_pixels=runtime.settings.max_pixels).pixels
    if run.permit is not None:
        run.permit.shrink(pixels + run.claim.job.extra_pixels)
    if photo.digest is None or photo.pixels is None:
        with contextlib.suppress(*NO_QUEUE):  # the next who reads it records it
            known = runtime.leases.record_input(
                run.claim, digest=digest, size=len(data), pixels=pixels
            )
            if not known:  # erased, with all of its jobs: nobody else needs it
                run.stored.append(key)
                raise LeaseLost
    return data, digest


def _fetch_parent(run: Run) -> tuple[bytes | None, bytes | None]:
    """The stored alpha that `mask` or `render` names, and its logits where the model had any."""
    job, storage = run.claim.job, run.runtime.storage
    if job.parent_alpha is None:
        return None, None
    alpha = storage.get(job.parent_alpha)
    try:
        return alpha, storage.get(keys.beside(job.parent_alpha, keys.LOGITS))
    except NotFound:
        return alpha, None


def _fetch_backdrop(run: Run) -> bytes | None:
    """The image that the cut is put on, where `output.background` names one."""
    job, backdrop = run.claim.job, run.claim.job.request.output.backdrop
    if backdrop is None:
        return None
    return run.runtime.storage.get(keys.input_key(job.tenant, backdrop))


def _same_size(alpha: UInt8Array | None, photo: Photo) -> UInt8Array:
    if alpha is None or alpha.shape != photo.rgb.shape[:2]:
        raise NotFound("the parent's alpha does not fit its photo")
    return alpha


def _store(run: Run, files: dict[str, bytes], size: tuple[int, int], output: Output) -> Result:
    """Store under this claim's own keys, so that a late finisher overwrites nobody."""
    job = run.claim.job
    types = {
        keys.RESULT: output.format.content_type,
        keys.ALPHA: "image/png",
        keys.LOGITS: "application/octet-stream",
    }
    for name, data in files.items():
        key = keys.attempt_key(job.tenant, job.id, job.claims, name)
        run.stored.append(key)
        run.runtime.storage.put(key, data, types[name])
    result = files[keys.RESULT]
    return Result(
        content_type=types[keys.RESULT],
        width=size[0],
        height=size[1],
        bytes=len(result),
        sha256=hashlib.sha256(result).hexdigest(),
    )
