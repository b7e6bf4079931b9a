"""From a request to an accepted job: check everything first, store, accept, ring."""

from __future__ import annotations

import contextlib
import hashlib
import json
from dataclasses import dataclass
from typing import BinaryIO

from api import sources
from api.services import Services
from api.sources import File
from shared.errors import (
    IdempotencyMismatch,
    ImageError,
    InvalidRequest,
    ModelNotServed,
    NotFound,
    QueueFull,
    StorageUnavailable,
    TooManyJobs,
    UrlForbidden,
)
from shared.job import Input, Job, Lane, new_id
from shared.queue.verdicts import Accepted, Idempotency
from shared.schema import JobRequest
from shared.storage import keys

#: How long an image that no job has taken yet is kept.
_UNCLAIMED_MS = 10 * 60 * 1000


@dataclass(frozen=True, slots=True)
class Submission:
    """A validated request, and what came with it."""

    tenant: str
    request: JobRequest
    base_url: str
    image: BinaryIO | None = None
    idempotency_key: str | None = None


def submit(services: Services, submission: Submission) -> Accepted:
    """Make the job exist, or say why not; what fails leaves nothing behind.

    Raises:
        InvalidRequest, ModelNotServed, ImageError, NotFound, NotFinished, NoResult,
        IdempotencyMismatch: the request must change.
        QueueUnavailable, QueueFull, TooManyJobs, StorageUnavailable: try again later.
    """
    request = submission.request
    file = None
    if submission.image is not None:
        # Repeated photos, and masks of the same photo, are told by their digests.
        hashed = submission.idempotency_key is not None or request.prompt.mask is not None
        file = File.of(submission.image, hashed=hashed)
    idempotency = _idempotency(submission, file)
    if idempotency is not None:
        # Before any check: what was taken once stays taken, though its parent be gone by now.
        earlier = services.records.repeated(submission.tenant, idempotency)
        if earlier is not None:
            return Accepted(earlier, repeated=True)
    _check_webhook(services, submission)
    _check_model(services, request)
    extra_pixels = _check_canvas(services, submission)
    source = sources.find(services, submission.tenant, request, file)
    if source.file is None:
        services.pulse.require()  # a job that nobody could do now is better off with its caller
        services.jobs.admit(submission.tenant)
    else:
        services.jobs.admit(submission.tenant, source.photo, expiry_ms=_UNCLAIMED_MS)
        services.storage.put(_key(source.photo), source.file, "application/octet-stream")
    job = Job(
        id=new_id("job"),
        tenant=submission.tenant,
        request=request,
        input_id=source.photo.id,
        base_url=submission.base_url,
        extra_pixels=extra_pixels,
        parent_alpha=source.parent_alpha,
    )
    try:
        accepted = services.jobs.accept(job, source.photo, idempotency)
    except (IdempotencyMismatch, TooManyJobs, QueueFull):
        if source.file is not None:
            _discard(services, source.photo)
        raise
    if accepted.repeated and source.file is not None:
        _discard(services, source.photo)  # a simultaneous twin was first
    if not accepted.repeated:
        services.doorbell.ring(job.id, Lane.of(request))
    return accepted


def _check_canvas(services: Services, submission: Submission) -> int:
    """How many pixels the canvas and what lies behind the subject have, beside the photo's."""
    output, limit = submission.request.output, services.settings.max_pixels
    if output.canvas_pixels > limit:
        raise InvalidRequest.field(
            "output.size", f"{output.canvas_pixels:,} pixels; at most {limit:,} are accepted"
        )
    if output.backdrop is None:
        return output.canvas_pixels
    field = "output.background.upload"
    try:
        source = sources.from_upload(services, submission.tenant, output.backdrop, None)
    except (ImageError, InvalidRequest, NotFound) as error:
        raise InvalidRequest.field(field, error.message.removeprefix("upload: ")) from error
    return output.canvas_pixels + (source.photo.pixels or limit)


def _check_webhook(services: Services, submission: Submission) -> None:
    webhook = submission.request.webhook
    if webhook is None:
        return
    try:
        services.guard.check_url(webhook.url)
    except UrlForbidden as error:
        raise InvalidRequest.field("webhook.url", error.message) from error
    if not services.secrets.of(submission.tenant):
        raise InvalidRequest.field("webhook", "no signing secret is configured for this API key")


def _check_model(services: Services, request: JobRequest) -> None:
    if request.model is None:
        return
    served = sorted({worker.model for worker in services.workers.present()})
    if request.model not in served:
        listed = ", ".join(served) or "none: no worker is ready"
        raise ModelNotServed(f"{request.model} is not served; these are: {listed}")


def _idempotency(submission: Submission, file: File | None) -> Idempotency | None:
    if submission.idempotency_key is None:
        return None
    canonical = submission.request.model_dump(mode="json")
    sent = {"request": canonical, "image": file.digest if file else None}
    digest = hashlib.sha256(json.dumps(sent, sort_keys=True).encode()).hexdigest()
    return Idempotency(submission.idempotency_key, digest)


def _key(photo: Input) -> str:
    return keys.input_key(photo.tenant, photo.id)


def _discard(services: Services, photo: Input) -> None:
    """Delete a stored image that no job takes; where that fails it is swept later."""
    with contextlib.suppress(StorageUnavailable):
        services.storage.delete([_key(photo)])
