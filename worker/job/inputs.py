"""What a job reads before it starts: its photo, an earlier job's cut, the image behind."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from io import BufferedReader
from tempfile import TemporaryFile
from typing import BinaryIO, cast

from shared.errors import LeaseLost, NotFound, StorageUnavailable
from shared.images.headers import ImageInfo
from shared.images.probe import probe
from shared.job import Input, StoredFile
from shared.storage import Storage, checked, keys
from worker.job.outcome import NO_QUEUE
from worker.job.run import Run
from worker.runtime import Runtime

_ANY_TYPE = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class FetchedPhoto:
    """A photo's file on this worker's disk, read before there was room for its pixels.

    It has no name there, so that nothing of it is left once it is closed. `size` is in bytes.
    """

    file: BinaryIO
    digest: str
    size: int
    info: ImageInfo

    def read(self) -> bytes:
        self.file.seek(0)
        return self.file.read()

    def close(self) -> None:
        self.file.close()


def fetch_photo(run: Run, fetched: FetchedPhoto | None) -> tuple[bytes, str]:
    """The photo's file and its SHA-256; from storage, if it was not `fetched` ahead.

    Raises:
        LeaseLost: as `fetch_ahead`; or the photo has more pixels than were recorded and reserved,
            and the job went back to be weighed anew.
        StorageUnavailable: as `fetch_ahead`.
    """
    runtime, record = run.runtime, run.claim.photo
    if fetched is not None:
        with closing(fetched) as photo:
            return photo.read(), photo.digest
    if record.stored and record.digest and record.pixels:
        data = runtime.storage.get(keys.input_key(record.tenant, record.id))
        digest = _known(record, hashlib.sha256(data).hexdigest())
        pixels = probe(data, max_pixels=runtime.settings.max_pixels).pixels
    else:
        with closing(fetch_ahead(run)) as photo:
            data, digest, pixels = photo.read(), photo.digest, photo.info.pixels
    if record.pixels is not None and pixels > record.pixels:
        runtime.leases.record_input(record.id, digest=digest, size=len(data), pixels=pixels)
        runtime.leases.release(run.claim, spend=False)
        raise LeaseLost
    return data, digest


def _known(photo: Input, digest: str) -> str:
    """The digest of the bytes that were read, which is that of the bytes that were stored.

    Nothing goes by a digest on record alone: that of the bytes is their embedding's key.

    Raises:
        StorageUnavailable: it is another one.
    """
    if photo.digest not in {None, digest}:
        raise StorageUnavailable("the storage gave other bytes than the photo's")
    return digest


def fetch_ahead(run: Run) -> FetchedPhoto:
    """Read a photo to disk and record what it is. One from a URL is fetched once, then stored.

    Raises:
        LeaseLost: the job was taken away, or erased with its photo, in the meantime.
        StorageUnavailable: the storage is down, or gave other bytes than it was given.
    """
    runtime, record = run.runtime, run.claim.photo
    key = keys.input_key(record.tenant, record.id)
    with _spool() as file:
        if record.to_fetch:
            _download(runtime, record, file)
            run.lease.require()  # it may have been lost during the download
            runtime.storage.put(key, file, _ANY_TYPE)
        else:
            file.write(runtime.storage.get(key))
        size, digest = _measured(file)
        if not record.to_fetch:
            _known(record, digest)
            if record.digest is None and record.bytes is not None:
                checked.require_size(record.bytes, size)
        info = probe(file, max_pixels=runtime.settings.max_pixels)
        with contextlib.suppress(*NO_QUEUE):  # the next job that reads it records it
            if not runtime.leases.record_input(
                record.id,
                digest=digest,
                size=size,
                pixels=info.pixels,
                fetched=record.to_fetch,
            ):  # erased with all of its jobs, so nobody needs it any more
                run.stored.append(key)
                raise LeaseLost
        return FetchedPhoto(file, digest, size, info)


def store_ahead(runtime: Runtime, photo: Input) -> None:
    """Fetch a photo from its URL and store it, for a job that cannot be claimed yet.

    Its header is not read: only under a lease does a file that kills the worker count as that.
    """
    key = keys.input_key(photo.tenant, photo.id)
    with _spool() as file, file:
        _download(runtime, photo, file)
        runtime.storage.put(key, file, _ANY_TYPE)
        size, digest = _measured(file)
        if not runtime.leases.record_input(photo.id, digest=digest, size=size, fetched=True):
            runtime.storage.delete([key])


@contextmanager
def _spool() -> Iterator[BinaryIO]:
    """A nameless temporary file, open after the block unless that fails.

    Raises:
        StorageUnavailable: this worker's disk is full.
    """
    try:
        file = TemporaryFile()  # noqa: SIM115
        try:
            yield file
        except BaseException:
            file.close()
            raise
    except OSError as error:
        raise StorageUnavailable(f"the worker's temporary folder: {error.strerror}") from error


def _download(runtime: Runtime, photo: Input, file: BinaryIO) -> None:
    settings = runtime.settings
    runtime.outbound.fetch(
        photo.url or "", into=file, max_bytes=settings.max_bytes, timeout=settings.fetch_timeout
    )
    file.seek(0)


def _measured(file: BinaryIO) -> tuple[int, str]:
    """A file's size in bytes and its SHA-256; it is left at its start."""
    file.seek(0)
    digest = hashlib.file_digest(cast(BufferedReader, file), "sha256").hexdigest()
    size = file.tell()
    file.seek(0)
    return size, digest


def fetch_parent(run: Run) -> tuple[bytes | None, bytes | None]:
    """The stored alpha that `mask` or `render` names, and its logits if the model had any."""
    job, storage = run.claim.job, run.runtime.storage
    if job.parent_alpha is None:
        return None, None
    known = job.parent_files
    alpha = _read(storage, job.parent_alpha, known.get(keys.ALPHA))
    if known and keys.LOGITS not in known:
        return alpha, None
    try:
        logits = keys.beside(job.parent_alpha, keys.LOGITS)
        return alpha, _read(storage, logits, known.get(keys.LOGITS))
    except NotFound:
        return alpha, None


def _read(storage: Storage, key: str, known: StoredFile | None) -> bytes:
    if known is None:  # the job before it was of an older version
        return storage.get(key)
    return checked.read(storage, key, size=known.bytes, sha256=known.sha256)


def fetch_backdrop(run: Run) -> bytes | None:
    """The image that `output.background` names; None when it is a colour or transparent."""
    job, backdrop = run.claim.job, run.claim.job.request.output.backdrop
    if backdrop is None:
        return None
    key, known = keys.input_key(job.tenant, backdrop), run.claim.backdrop
    if known is None:
        return run.runtime.storage.get(key)
    data = checked.read(run.runtime.storage, key, size=known.bytes, sha256=known.digest)
    if known.digest is None:
        with contextlib.suppress(*NO_QUEUE):
            digest = hashlib.sha256(data).hexdigest()
            run.runtime.leases.record_input(backdrop, digest=digest, size=len(data))
    return data
