"""From a request to an accepted job: check everything first, store, accept, ring."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from dataclasses import dataclass
from typing import BinaryIO

from api.services import Services
from shared.errors import (
    IdempotencyMismatch,
    ImageError,
    ImageInvalid,
    ImageTooLarge,
    InvalidRequest,
    ModelNotServed,
    NoResult,
    NotFinished,
    NotFound,
    QueueFull,
    StorageUnavailable,
    TooManyJobs,
    UrlForbidden,
)
from shared.images import ImageInfo, probe
from shared.job import Input, Job, Lane, Status, new_id
from shared.queue.verdicts import Accepted, Idempotency
from shared.spec import JobRequest
from shared.storage import keys

#: Enough of a file for its header to be read, but for the odd one that has it at its end.
_HEAD_BYTES = 256 * 1024
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


@dataclass(frozen=True, slots=True)
class _File:
    """An image that came along, and its SHA-256 where the request needs it: else the worker's."""

    stream: BinaryIO
    size: int
    digest: str | None

    @classmethod
    def of(cls, stream: BinaryIO, *, hashed: bool) -> _File:
        """It is left at its start."""
        size = stream.seek(0, io.SEEK_END)
        stream.seek(0)
        if not hashed:
            return cls(stream, size, None)
        digest = hashlib.sha256()
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
        stream.seek(0)
        return cls(stream, size, digest.hexdigest())


@dataclass(frozen=True, slots=True)
class _Source:
    """Where the job's photo comes from; `file` where it came along and is still to be stored."""

    photo: Input
    file: BinaryIO | None = None
    parent_alpha: str | None = None


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
        file = _File.of(submission.image, hashed=hashed)
    idempotency = _idempotency(submission, file)
    if idempotency is not None:
        # Before any check: what was taken once stays taken, though its parent be gone by now.
        earlier = services.records.repeated(submission.tenant, idempotency)
        if earlier is not None:
            return Accepted(earlier, repeated=True)
    _check_webhook(services, submission)
    _check_model(services, request)
    extra_pixels = _check_canvas(services, submission)
    source = _source(services, submission, file)
    if source.file is None:
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
        source = _from_upload(services, submission.tenant, output.backdrop, None)
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


def _source(services: Services, submission: Submission, file: _File | None) -> _Source:
    """The one photo that the request names, checked as far as its header shows."""
    request = submission.request
    given = request.sources + (["image"] if file is not None else [])
    if len(given) != 1:
        named = f"{', '.join(given)} given" if given else "none given"
        raise InvalidRequest.field("image", f"give one of image, url, upload, job, render; {named}")
    if file is not None:
        source = _from_file(services, submission.tenant, file, request)
    elif request.url is not None:
        source = _from_url(services, submission.tenant, request.url)
    elif request.upload is not None:
        source = _from_upload(services, submission.tenant, request.upload, request)
    elif request.job is not None:
        source = _from_job(services, submission.tenant, request.job)
    else:
        source = _from_render(services, submission.tenant, str(request.render))
    return _with_mask(services, submission, source)


def _from_file(services: Services, tenant: str, file: _File, request: JobRequest) -> _Source:
    _check_size(services, file.size)
    info = probe(file.stream, max_pixels=services.settings.max_pixels)
    _check_prompt(request, info)
    photo = Input(
        new_id("inp"), tenant, stored=True, digest=file.digest, bytes=file.size, pixels=info.pixels
    )
    return _Source(photo, file.stream)


def _from_url(services: Services, tenant: str, url: str) -> _Source:
    try:
        services.guard.check_url(url)
    except UrlForbidden as error:
        raise InvalidRequest.field("url", error.message) from error
    return _Source(Input(new_id("inp"), tenant, url=url))


def _from_upload(
    services: Services, tenant: str, upload_id: str, request: JobRequest | None
) -> _Source:
    photo = services.jobs.input(upload_id, tenant)
    key = keys.input_key(tenant, upload_id)
    size = services.storage.size(key)
    if size is None:
        raise InvalidRequest.field("upload", "nothing has been put there yet")
    _check_size(services, size)
    head = services.storage.get(key, limit=_HEAD_BYTES)
    info = probe(head, max_pixels=services.settings.max_pixels, partial=size > len(head))
    if info is not None and request is not None:
        _check_prompt(request, info)
    pixels = None if info is None else info.pixels
    return _Source(
        Input(upload_id, tenant, stored=True, digest=photo.digest, bytes=size, pixels=pixels)
    )


def _from_job(services: Services, tenant: str, parent_id: str) -> _Source:
    parent = services.records.get(parent_id, tenant)
    if not parent.is_terminal:
        raise NotFinished(f"{parent_id} is still {parent.status.value}")
    photo = services.jobs.input(parent.input_id, tenant)
    if photo.url is not None and not photo.stored:  # an upload was there before its first job
        raise NoResult(f"{parent_id} never had its photo")
    return _Source(photo)


def _from_render(services: Services, tenant: str, parent_id: str) -> _Source:
    parent = _finished_parent(services, tenant, parent_id)
    return _Source(services.jobs.input(parent.input_id, tenant), parent_alpha=_alpha_of(parent))


def _with_mask(services: Services, submission: Submission, source: _Source) -> _Source:
    """The source, with the alpha that `prompt.mask` names; it must be of the same photo."""
    mask = submission.request.prompt.mask
    if mask is None:
        return source
    parent = _finished_parent(services, submission.tenant, mask)
    same = parent.input_id == source.photo.id
    if not same and source.photo.digest is not None:
        theirs = services.jobs.input(parent.input_id, submission.tenant)
        same = theirs.digest == source.photo.digest
    if not same:
        raise InvalidRequest.field("prompt.mask", f"{mask} is a job on another photo")
    return _Source(source.photo, source.file, parent_alpha=_alpha_of(parent))


def _finished_parent(services: Services, tenant: str, parent_id: str) -> Job:
    parent = services.records.get(parent_id, tenant)
    if not parent.is_terminal:
        raise NotFinished(f"{parent_id} is still {parent.status.value}")
    if parent.status is not Status.SUCCEEDED:
        raise NoResult(f"{parent_id} is {parent.status.value}: it has no mask")
    return parent


def _alpha_of(parent: Job) -> str:
    return keys.attempt_key(parent.tenant, parent.id, parent.claims, keys.ALPHA)


def _check_size(services: Services, size: int) -> None:
    limit = services.settings.max_bytes
    if size == 0:
        raise ImageInvalid("the image is empty")
    if size > limit:
        raise ImageTooLarge(f"the image is {size:,} bytes; at most {limit:,} are accepted")


def _check_prompt(request: JobRequest, info: ImageInfo) -> None:
    misfit = request.misfit(info.width, info.height)
    if info.orientation is None and request.misfit(info.height, info.width) is None:
        return  # the file's end may yet tell that it is turned
    if misfit is not None:
        raise InvalidRequest.field(*misfit)


def _idempotency(submission: Submission, file: _File | None) -> Idempotency | None:
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
