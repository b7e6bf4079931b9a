"""Job records, in Redis or archived beside the job's files."""

from __future__ import annotations

import logging
from typing import Literal, Self

from pydantic import Field, ValidationError

from shared.errors import IdempotencyMismatch, NotFound, StorageUnavailable
from shared.job import Job, Lane, Outcome, Status, StoredFile
from shared.queue.answers import Erased, Idempotency, Remains
from shared.queue.jobs import JobQueue
from shared.schema import JobRequest, Model
from shared.storage import Storage, keys

log = logging.getLogger("nukki.records")


class ArchivedJob(Model):
    """A finished job's record as stored in `job.json`: `Job`, with the format's version."""

    version: Literal[1]
    id: str
    tenant: str
    request: JobRequest
    input_id: str
    base_url: str
    status: Literal[Status.SUCCEEDED, Status.FAILED, Status.CANCELED]
    lane: Lane
    extra_pixels: int = 0
    parent_alpha: str | None = None
    parent_files: dict[str, StoredFile] = Field(default_factory=dict)
    created_ms: int
    started_ms: int | None = None
    finished_ms: int
    attempts: int
    claims: int
    outcome: Outcome | None = None

    @classmethod
    def of(cls, job: Job) -> Self:
        fields = {name: getattr(job, name) for name in Job.__slots__}
        return cls.model_validate({"version": 1, **fields})

    def job(self) -> Job:
        return Job(**{name: getattr(self, name) for name in Job.__slots__})


class Records:
    """Reads jobs from Redis, or from their archive once Redis has dropped them."""

    def __init__(self, jobs: JobQueue, storage: Storage) -> None:
        self._jobs = jobs
        self._storage = storage

    def get(self, job_id: str, tenant: str) -> Job:
        """The job with that id.

        Raises:
            NotFound: there is no such job, or it is another tenant's.
            StorageUnavailable: it is not in Redis, and storage is down.
        """
        try:
            return self._jobs.get(job_id, tenant)
        except NotFound:
            return self.archived(job_id, tenant)

    def repeated(self, tenant: str, idempotency: Idempotency) -> str | None:
        """The id of the job that this idempotency key made before, if it still exists.

        Raises:
            IdempotencyMismatch: the key was used with another request.
        """
        slot = self._jobs.slot(tenant, idempotency.key)
        if slot is None:
            return None
        job_id, before = slot
        try:
            self.get(job_id, tenant)
        except NotFound:
            return None
        if before != idempotency:
            raise IdempotencyMismatch
        return job_id

    def archive(self, job_id: str) -> bool:
        """Store a finished job's record, then drop it from Redis; False if that was done before.

        Safe to run concurrently: all copies store the same bytes.
        """
        try:
            job = self._jobs.get(job_id)
        except NotFound:
            return False
        # Only fields that were set: a default that was set explicitly overrides a preset.
        record = ArchivedJob.of(job).model_dump_json(exclude_unset=True)
        key = keys.archive_key(job.tenant, job_id)
        self._storage.put(key, record.encode(), "application/json")
        return self._jobs.let_go(job)

    def erase(self, job_id: str, tenant: str) -> Erased | None:
        """Erase a job, and queue its stored files for the sweeper; None if there is no such job."""
        erased = self._jobs.erase(job_id, tenant)
        if erased is not None:
            return erased
        try:
            job = self.archived(job_id, tenant)
        except NotFound:
            return None
        return self._jobs.erase_remains(job_id, Remains.of(job))

    def archived(self, job_id: str, tenant: str) -> Job:
        """The archived job with that id.

        Raises:
            NotFound: there is none, or its archive is damaged.
        """
        # The key is always below the caller's tenant: another tenant's archive cannot be read.
        data = self._storage.get(keys.archive_key(tenant, job_id))
        try:
            return ArchivedJob.model_validate_json(data).job()
        except ValidationError as error:
            if error.errors(include_input=False, include_url=False)[0]["type"] == "json_invalid":
                # An archive is stored whole, so these bytes are the storage's, or a proxy's.
                raise StorageUnavailable("the storage gave other bytes than the record") from None
            # Not the error itself: it contains the caller's data.
            wrong = error.error_count()
            log.error("%d fields of its archive are wrong", wrong, extra={"job": job_id})  # noqa: TRY400
            raise NotFound(f"no such job: {job_id}") from None
