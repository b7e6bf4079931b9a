"""The source of a job's photo: sent along, URL, upload, or an earlier job."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, replace
from typing import BinaryIO

from api.sealing import seal
from api.services import Services
from shared.errors import (
    ImageInvalid,
    ImageTooLarge,
    InvalidRequest,
    NoResult,
    NotFinished,
    UrlForbidden,
)
from shared.images.headers import ImageInfo
from shared.images.probe import probe
from shared.job import Input, Job, Status, new_id
from shared.schema import JobRequest
from shared.schema.extent import Size
from shared.storage import checked, keys

#: Bytes read for a file's header; enough except for rare files that have it at the end.
_HEAD_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class File:
    """An image sent with the request, and its SHA-256: whoever reads it later compares."""

    stream: BinaryIO
    size: int
    digest: str

    @classmethod
    def of(cls, stream: BinaryIO) -> File:
        """Measure and hash `stream`; leaves it at its start."""
        size = stream.seek(0, io.SEEK_END)
        stream.seek(0)
        digest = hashlib.sha256()
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
        stream.seek(0)
        return cls(stream, size, digest.hexdigest())


@dataclass(frozen=True, slots=True)
class Source:
    """The source of a job's photo; `file` if it was sent along and is still to be stored.

    `parent` is the job whose alpha it starts from. `size` is the photo's (width, height), where its
    header was read.
    """

    photo: Input
    file: BinaryIO | None = None
    parent: Job | None = None
    size: Size | None = None


def find(services: Services, tenant: str, request: JobRequest, file: File | None) -> Source:
    """Find the photo that the request names, and check its header.

    Raises:
        InvalidRequest, ImageError, NotFound, NotFinished, NoResult: the request is wrong.
        QueueUnavailable, StorageUnavailable: try again later.
    """
    given = request.sources + (["image"] if file is not None else [])
    if len(given) != 1:
        named = f"{', '.join(given)} given" if given else "none given"
        raise InvalidRequest.field(
            "image", f"give exactly one of image, url, upload, job, render; {named}"
        )
    if file is not None:
        source = _from_file(services, tenant, file, request)
    elif request.url is not None:
        source = _from_url(services, tenant, request.url)
    elif request.upload is not None:
        source = from_upload(services, tenant, request.upload, request)
    elif request.job is not None:
        source = _from_job(services, tenant, request.job)
    else:
        source = _from_render(services, tenant, str(request.render))
    return _with_mask(services, tenant, request, source)


def _from_file(services: Services, tenant: str, file: File, request: JobRequest) -> Source:
    _check_size(services, file.size)
    info = probe(file.stream, max_pixels=services.settings.max_pixels)
    _check_prompt(request, info)
    photo = Input(
        new_id("inp"), tenant, stored=True, digest=file.digest, bytes=file.size, pixels=info.pixels
    )
    return Source(photo, file.stream, size=(info.width, info.height))


def _from_url(services: Services, tenant: str, url: str) -> Source:
    try:
        services.guard.check_url(url)
    except UrlForbidden as error:
        raise InvalidRequest.field("url", error.message) from error
    return Source(Input(new_id("inp"), tenant, url=url))


def from_upload(
    services: Services, tenant: str, upload_id: str, request: JobRequest | None
) -> Source:
    photo = services.jobs.input(upload_id, tenant)
    size = seal(services, tenant, upload_id)
    _check_size(services, size)
    if photo.bytes is not None:  # as recorded of a stored photo, or as signed for
        checked.require_size(photo.bytes, size)
    info = _header(services, keys.input_key(tenant, upload_id), size)
    if info is not None and request is not None:
        _check_prompt(request, info)
    pixels = None if info is None else info.pixels
    return Source(
        Input(upload_id, tenant, stored=True, digest=photo.digest, bytes=size, pixels=pixels),
        size=None if info is None else (info.width, info.height),
    )


def stored_size(services: Services, photo: Input) -> Size | None:
    """(width, height) of a photo by its stored file; None where its header does not tell."""
    key = keys.input_key(photo.tenant, photo.id)
    size = services.storage.size(key)
    info = None if size is None else _header(services, key, size)
    return None if info is None else (info.width, info.height)


def _header(services: Services, key: str, size: int) -> ImageInfo | None:
    """What the beginning of a stored file of `size` bytes says; None where it does not tell."""
    head = services.storage.get(key, limit=_HEAD_BYTES)
    checked.require_size(min(size, _HEAD_BYTES), len(head))
    return probe(head, max_pixels=services.settings.max_pixels, partial=size > len(head))


def _from_job(services: Services, tenant: str, parent_id: str) -> Source:
    parent = services.records.get(parent_id, tenant)
    if not parent.is_terminal:
        raise NotFinished(f"{parent_id} is still {parent.status.value}")
    photo = services.jobs.input(parent.input_id, tenant)
    if photo.url is not None and not photo.stored:  # an upload is stored before its first job
        raise NoResult(f"{parent_id} never received its photo")
    return Source(photo)


def _from_render(services: Services, tenant: str, parent_id: str) -> Source:
    parent = _finished_parent(services, tenant, parent_id)
    return Source(services.jobs.input(parent.input_id, tenant), parent=parent)


def _with_mask(services: Services, tenant: str, request: JobRequest, source: Source) -> Source:
    """Add the alpha that `prompt.mask` names, which must be of the same photo."""
    mask = request.prompt.mask
    if mask is None:
        return source
    parent = _finished_parent(services, tenant, mask)
    same = parent.input_id == source.photo.id
    if not same and source.photo.digest is not None:
        theirs = services.jobs.input(parent.input_id, tenant)
        same = theirs.digest == source.photo.digest
    if not same:
        raise InvalidRequest.field("prompt.mask", f"{mask} is a job on another photo")
    return replace(source, parent=parent)


def _finished_parent(services: Services, tenant: str, parent_id: str) -> Job:
    parent = services.records.get(parent_id, tenant)
    if not parent.is_terminal:
        raise NotFinished(f"{parent_id} is still {parent.status.value}")
    if parent.status is not Status.SUCCEEDED:
        raise NoResult(f"{parent_id} is {parent.status.value}: it has no mask")
    return parent


def _check_size(services: Services, size: int) -> None:
    limit = services.settings.max_bytes
    if size == 0:
        raise ImageInvalid("the image is empty")
    if size > limit:
        raise ImageTooLarge(f"the image is {size:,} bytes; at most {limit:,} are accepted")


def _check_prompt(request: JobRequest, info: ImageInfo) -> None:
    misfit = request.misfit(info.width, info.height)
    if info.orientation is None and request.misfit(info.height, info.width) is None:
        return  # the file's end may still say that it is rotated
    if misfit is not None:
        raise InvalidRequest.of(misfit)
