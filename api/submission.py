"""Submitting a job: check everything, store the photo, accept the job, ring the doorbell."""

from __future__ import annotations

import contextlib
import hashlib
import json
from dataclasses import dataclass
from typing import BinaryIO

from api import sources
from api.services import Services
from api.sources import File, Source
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
from shared.queue.answers import Accepted, Idempotency
from shared.schema import JobRequest
from shared.schema.extent import follows_box, require_possible
from shared.schema.weight import Sizes, weight
from shared.storage import keys

#: Milliseconds for which an image is kept that no job uses yet.
_UNCLAIMED_MS = 10 * 60 * 1000


@dataclass(frozen=True, slots=True)
class Submission:
    """A validated request, with its photo and headers."""

    tenant: str
    request: JobRequest
    base_url: str
    image: BinaryIO | None = None
    idempotency_key: str | None = None


def submit(services: Services, submission: Submission) -> Accepted:
    """Create the job; a request that is refused leaves nothing behind.

    Raises:
        InvalidRequest, ModelNotServed, ImageError, NotFound, NotFinished, NoResult,
        IdempotencyMismatch: the request is wrong.
        QueueUnavailable, QueueFull, TooManyJobs, StorageUnavailable: try again later.
    """
    request = submission.request
    file = None
    if submission.image is not None:
        file = File.of(submission.image)
    idempotency = _idempotency(submission, file)
    if idempotency is not None:
        # Before any check: a replayed request succeeds even if its parent has been deleted.
        earlier = services.records.repeated(submission.tenant, idempotency)
        if earlier is not None:
            return Accepted(earlier, repeated=True)
    _check_webhook(services, submission)
    _check_model(services, request)
    backdrop = _check_backdrop(services, submission)
    source = sources.find(services, submission.tenant, request, file)
    extra_pixels = _check_canvas(services, request, source, backdrop)
    services.room.require()
    if source.file is None:
        services.pulse.require()  # refuse now: no worker could do the job while storage is down
        services.jobs.admit(submission.tenant)
    else:
        services.jobs.admit(submission.tenant, source.photo, expiry_ms=_UNCLAIMED_MS)
        services.storage.put(_key(source.photo), source.file, "application/octet-stream")
    parent = source.parent
    job = Job(
        id=new_id("job"),
        tenant=submission.tenant,
        request=request,
        input_id=source.photo.id,
        base_url=submission.base_url,
        extra_pixels=extra_pixels,
        parent_alpha=_alpha_of(parent) if parent else None,
        parent_files=parent.outcome.files if parent and parent.outcome else {},
    )
    try:
        accepted = services.jobs.accept(job, source.photo, idempotency)
    except (IdempotencyMismatch, TooManyJobs, QueueFull):
        if source.file is not None:
            _discard(services, source.photo)
        raise
    if accepted.repeated and source.file is not None:
        _discard(services, source.photo)  # a concurrent copy of the request was accepted first
    if not accepted.repeated:
        services.doorbell.ring(job.id, Lane.of(request))
    return accepted


def _check_backdrop(services: Services, submission: Submission) -> int:
    """Pixels of the background image; 0 without one."""
    output = submission.request.output
    if output.backdrop is None:
        return 0
    field = "output.background.upload"
    try:
        source = sources.from_upload(services, submission.tenant, output.backdrop, None)
    except (ImageError, InvalidRequest, NotFound) as error:
        raise InvalidRequest.field(field, error.message.removeprefix("upload: ")) from error
    return source.photo.pixels or services.settings.max_pixels


def _check_canvas(services: Services, request: JobRequest, source: Source, backdrop: int) -> int:
    """Refuse a canvas that is too large; the pixels that the job counts beside its photo's."""
    output, limit, pixels = request.output, services.settings.max_pixels, source.photo.pixels
    size = source.size
    if size is None and follows_box(output) and output.margin:
        size = sources.stored_size(services, source.photo)
    require_possible(output, size, limit)
    if size is None and pixels is not None and not (follows_box(output) and output.margin):
        size = (pixels, 1)  # its shape does not matter
    counted = weight(output, Sizes.of(output, size, max_pixels=limit, backdrop=backdrop))
    return max(0, counted - (pixels or limit))


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
        raise ModelNotServed(f"{request.model} is not served; the served models are: {listed}")


def _idempotency(submission: Submission, file: File | None) -> Idempotency | None:
    if submission.idempotency_key is None:
        return None
    canonical = submission.request.model_dump(mode="json")
    sent = {"request": canonical, "image": file.digest if file else None}
    digest = hashlib.sha256(json.dumps(sent, sort_keys=True).encode()).hexdigest()
    return Idempotency(submission.idempotency_key, digest)


def _alpha_of(parent: Job) -> str:
    return keys.attempt_key(parent.tenant, parent.id, parent.claims, keys.ALPHA)


def _key(photo: Input) -> str:
    return keys.input_key(photo.tenant, photo.id)


def _discard(services: Services, photo: Input) -> None:
    """Delete a stored image that no job uses; if that fails, the sweeper deletes it later."""
    with contextlib.suppress(StorageUnavailable):
        services.storage.delete([_key(photo)])
