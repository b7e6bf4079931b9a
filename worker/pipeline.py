"""One job, read top to bottom: fetch, decode, segment, compose, store, finish."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import time

from shared.errors import LeaseLost, NotFound
from shared.images import Photo, decode, encode, probe
from shared.images.photo import UInt8Array
from shared.job import Lane, Outcome, Result, Status
from shared.metrics.worker import LEASE_LOSSES, PERMIT_WAIT
from shared.queue.leases import Claim
from shared.spec import Output, OutputFormat
from shared.storage import keys
from worker.compositing.doubts import doubts
from worker.compositing.subject import measure
from worker.course import Course
from worker.cut import Cut, Earlier, write_logits
from worker.ending import NO_QUEUE, clean_up, finish, settle
from worker.engine import Permit
from worker.publication import Trimmings, publish
from worker.runtime import Runtime
from worker.segmentation import cut_out, segment

log = logging.getLogger("nukki.worker")


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
            finish(course, Status.SUCCEEDED, outcome)
        except LeaseLost:
            LEASE_LOSSES.inc()
            log.info("no longer this worker's", extra={"job": job_id})
            clean_up(course)
        except NO_QUEUE:
            log.warning("Redis is away; the job goes to another", extra={"job": job_id})
        except Exception as error:  # noqa: BLE001  # a job must end, whatever its photo provokes
            settle(course, error)


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
    """The photo's bytes and their SHA-256; from its URL the first time, and then kept.

    Raises:
        LeaseLost: the job was taken away, or erased with its photo, meanwhile.
    """
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
        course.lease.require()  # which may have been lost while the photo came
        runtime.storage.put(key, data, "application/octet-stream")
    digest = photo.digest or hashlib.sha256(data).hexdigest()
    pixels = photo.pixels or probe(data, max_pixels=runtime.settings.max_pixels).pixels
    if course.permit is not None:
        course.permit.shrink(pixels + course.claim.job.extra_pixels)
    if photo.digest is None or photo.pixels is None:
        with contextlib.suppress(*NO_QUEUE):  # the next who reads it records it
            known = runtime.leases.record_input(
                course.claim, digest=digest, size=len(data), pixels=pixels
            )
            if not known:  # erased, with all of its jobs: nobody else needs it
                course.stored.append(key)
                raise LeaseLost
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
