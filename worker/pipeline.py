"""One job, read top to bottom: fetch, decode, segment, compose, store, finish."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import random
import time

from shared.errors import (
    LeaseLost,
    NotFound,
    NukkiError,
    QueueFull,
    QueueUnavailable,
    StorageUnavailable,
)
from shared.images import Photo, decode, encode, probe
from shared.images.photo import UInt8Array
from shared.job import Lane, Outcome, Result, Status
from shared.metrics.jobs import count_end
from shared.metrics.worker import LEASE_LOSSES, PERMIT_WAIT
from shared.queue.leases import Claim, Released
from shared.spec import Output, OutputFormat
from shared.storage import keys
from worker.compositing.doubts import doubts
from worker.compositing.subject import measure
from worker.course import Course
from worker.cut import Cut, Earlier, write_logits
from worker.engine import Permit
from worker.publication import Trimmings, publish
from worker.retry import Fail, Retry, WaitOut, decide
from worker.runtime import Runtime
from worker.segmentation import cut_out, segment

log = logging.getLogger("nukki.worker")

#: Redis is away, or refuses what takes memory: either way the record stays as it is.
NO_QUEUE = (QueueUnavailable, QueueFull)
#: How long a worker whose job is done tries to say so to a Redis that is away.
_FINISH_PATIENCE = 60.0


def run(runtime: Runtime, job_id: str) -> None:
    """Answer a doorbell: claim the job, if it is there to be claimed, and see it to its end.

    Not before there is room for its photo: until then another worker may claim it.
    """
    try:
        load = runtime.leases.weigh(job_id)
        if load is None:
            return
        pixels = (load.pixels or runtime.settings.max_pixels) + load.extra_pixels
        if load.alone:  # with all of them in hand nothing else is: it kills no neighbour
            pixels = runtime.photos.limit
        came = time.perf_counter()
        with runtime.photos.holding(pixels, urgent=load.lane is not Lane.BULK) as permit:
            PERMIT_WAIT.observe(time.perf_counter() - came)
            if runtime.draining.is_set():
                return
            claim = runtime.leases.claim(job_id, alone=load.alone)
            if claim is not None:
                _see_through(runtime, claim, None if load.alone else permit)
    except NO_QUEUE:
        log.info("Redis is away; the janitor rings again", extra={"job": job_id})


def _see_through(runtime: Runtime, claim: Claim, permit: Permit | None) -> None:
    job_id = claim.job.id
    with runtime.heartbeat.holding(claim) as lease:
        course = Course(runtime, lease, permit)
        try:
            outcome = _work(course)
            _finish(course, Status.SUCCEEDED, outcome)
        except LeaseLost:
            LEASE_LOSSES.inc()
            log.info("no longer this worker's", extra={"job": job_id})
            _clean_up(course)
        except NO_QUEUE:
            log.warning("Redis is away; the job goes to another", extra={"job": job_id})
        except Exception as error:  # noqa: BLE001  # a job must end, whatever its photo provokes
            _settle(course, error)


def _work(course: Course) -> Outcome:
    """All of the work, up to where only the record is left to write."""
    job = course.claim.job
    with course.stage("fetch"):
        data, digest = _fetch(course)
        parent, backdrop = _fetch_parent(course), _fetch_backdrop(course)
    with course.work("decode"):
        max_pixels = course.runtime.settings.max_pixels
        photo = decode(data, max_pixels=max_pixels)
        course.warnings += photo.warnings
        earlier = Earlier.read(parent, course.runtime.engine.model)
        trimmings = Trimmings.read(job.request.output, data, backdrop, max_pixels)
        del data, parent, backdrop
    finding = None
    if job.request.render is None:
        finding = segment(course, photo, digest, earlier)
    model = None if finding is None else course.runtime.engine.model
    with course.work("compose"):
        if finding is None:
            cut = Cut(_same_size(earlier.alpha, photo))
        else:
            cut = cut_out(job.request, photo, finding)
        reasons = (*cut.reasons, *doubts(cut.alpha, cut.judged, course.runtime.settings.review))
        subject = measure(cut.alpha, cut.scores, tuple(dict.fromkeys(reasons)), cut.stability)
        made = publish(photo.rgb, cut.alpha, job.request.output, subject.box, trimmings)
        course.warnings += made.warnings
        files = {
            keys.RESULT: made.file,
            keys.ALPHA: encode(cut.alpha, OutputFormat.PNG),
        }
        if cut.logits is not None:
            files[keys.LOGITS] = write_logits(cut.logits, str(model))
    with course.stage("store"):
        result = _store(course, files, made.size, job.request.output)
    return course.outcome(model=model, result=result, subject=subject, compliance=made.compliance)


def _fetch(course: Course) -> tuple[bytes, str]:
    """The photo's bytes and their SHA-256; from its URL the first time, and then kept."""
    runtime, photo = course.runtime, course.claim.photo
    key = keys.input_key(photo.tenant, photo.id)
    if photo.stored or photo.url is None:
        data = runtime.storage.get(key)
    else:
        data = runtime.outbound.fetch(
            photo.url,
            max_bytes=runtime.settings.max_bytes,
            timeout=runtime.settings.fetch_timeout,
        )
        runtime.storage.put(key, data, "application/octet-stream")
    digest = photo.digest or hashlib.sha256(data).hexdigest()
    pixels = photo.pixels or probe(data, max_pixels=runtime.settings.max_pixels).pixels
    if course.permit is not None:
        course.permit.shrink(pixels + course.claim.job.extra_pixels)
    if photo.digest is None or photo.pixels is None:
        with contextlib.suppress(*NO_QUEUE):  # the next who reads it records it
            runtime.leases.record_input(course.claim, digest=digest, size=len(data), pixels=pixels)
    return data, digest


def _fetch_parent(course: Course) -> tuple[bytes | None, bytes | None]:
    """The stored alpha that `mask` or `render` names, and its logits where the model had any."""
    job, storage = course.claim.job, course.runtime.storage
    if job.parent_alpha is None:
        return None, None
    alpha = storage.get(job.parent_alpha)
    try:
        return alpha, storage.get(keys.beside(job.parent_alpha, keys.LOGITS))
    except NotFound:
        return alpha, None


def _fetch_backdrop(course: Course) -> bytes | None:
    """The image that the cut is put on, where `output.background` names one."""
    job, backdrop = course.claim.job, course.claim.job.request.output.backdrop
    if backdrop is None:
        return None
    return course.runtime.storage.get(keys.input_key(job.tenant, backdrop))


def _same_size(alpha: UInt8Array | None, photo: Photo) -> UInt8Array:
    if alpha is None or alpha.shape != photo.rgb.shape[:2]:
        raise NotFound("the parent's alpha does not fit its photo")
    return alpha


def _store(
    course: Course, files: dict[str, bytes], size: tuple[int, int], output: Output
) -> Result:
    """Store under this claim's own keys, so that a late finisher overwrites nobody."""
    job = course.claim.job
    types = {
        keys.RESULT: output.format.content_type,
        keys.ALPHA: "image/png",
        keys.LOGITS: "application/octet-stream",
    }
    for name, data in files.items():
        key = keys.attempt_key(job.tenant, job.id, job.claims, name)
        course.stored.append(key)
        course.runtime.storage.put(key, data, types[name])
    result = files[keys.RESULT]
    return Result(
        content_type=types[keys.RESULT],
        width=size[0],
        height=size[1],
        bytes=len(result),
        sha256=hashlib.sha256(result).hexdigest(),
    )


def _settle(course: Course, error: Exception) -> None:
    """Fail the job, or hand it back to be tried again."""
    job, settings = course.claim.job, course.runtime.settings
    jitter = random.random()  # noqa: S311
    decision = decide(error, job.attempts, settings.max_attempts, jitter=jitter)
    expected = isinstance(error, NukkiError)
    log.log(
        logging.INFO if expected else logging.ERROR,
        "%s: %s: %s",
        type(decision).__name__.lower(),
        getattr(error, "code", "unexpected"),
        error,
        exc_info=None if expected else error,
        extra={"job": job.id},
    )
    try:
        match decision:
            case Fail(failure):
                _finish(course, Status.FAILED, course.outcome(error=failure))
            case Retry(delay_ms):
                _require_ours(course.runtime.leases.release(course.claim, delay_ms=delay_ms))
            case WaitOut(delay_ms, failure):
                impatient = course.outcome(error=failure)
                released = course.runtime.leases.release(
                    course.claim,
                    delay_ms=delay_ms,
                    spend=False,
                    patience_ms=int(settings.storage_patience * 1000),
                    impatient=impatient,
                )
                _require_ours(released)
                if released.failed:
                    _count(course, Status.FAILED, impatient)
    except NO_QUEUE:
        log.warning("Redis is away; the lease runs out by itself", extra={"job": job.id})
    except LeaseLost:
        LEASE_LOSSES.inc()
        log.info("no longer this worker's", extra={"job": job.id})
    _clean_up(course)


def _require_ours(released: Released) -> None:
    if released.lane is None and not released.failed:
        raise LeaseLost


def _finish(course: Course, status: Status, outcome: Outcome) -> None:
    """Make the job terminal; a Redis that is away or full for a moment costs no work.

    Raises:
        LeaseLost: too late.
        QueueUnavailable, QueueFull: Redis stayed away, or full.
    """
    give_up = time.monotonic() + _FINISH_PATIENCE
    while True:
        try:
            finished = course.runtime.leases.finish(course.claim, status, outcome)
        except NO_QUEUE:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.5)
        else:
            break
    if not finished:
        raise LeaseLost
    _count(course, status, outcome)
    if status is Status.SUCCEEDED:
        course.stored.clear()
    log.info(
        "%s in %.0f ms",
        status.value,
        outcome.timings_ms.get("total", 0.0),
        extra={"job": course.claim.job.id},
    )


def _count(course: Course, status: Status, outcome: Outcome) -> None:
    model = course.runtime.engine.model
    count_end(course.claim.job, status, model=model, timings_ms=outcome.timings_ms)


def _clean_up(course: Course) -> None:
    """Delete what this claim stored in vain. What cannot be deleted now is swept later."""
    if course.stored:
        try:
            course.runtime.storage.delete(course.stored)
        except StorageUnavailable:
            log.info("left for the janitor", extra={"job": course.claim.job.id})


def hand_back(runtime: Runtime) -> None:
    """Give up every job in hand, no attempt spent, for another worker to take at once."""
    for lease in runtime.heartbeat.held():
        job = lease.claim.job
        try:
            released = runtime.leases.release(lease.claim, spend=False)
        except NO_QUEUE:
            return
        if released.lane is Lane.RECLAIMED:
            runtime.doorbell.ring(job.id, Lane.RECLAIMED)
        log.info("handed back", extra={"job": job.id})
