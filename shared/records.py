"""The records of jobs, wherever they are: in Redis, or archived beside the job's files."""

from __future__ import annotations

import logging
from typing import Literal, Self

from pydantic import ValidationError

from shared.errors import IdempotencyMismatch, NotFound
from shared.job import Job, Lane, Outcome, Status
from shared.queue.jobs import JobQueue
from shared.queue.verdicts import Erased, Idempotency, Remains
from shared.schema import JobRequest, Model
from shared.storage import Storage, keys

log = logging.getLogger("nukki.records")


class ArchivedJob(Model):
    """A finished job's record as its `job.json` has it: `Job`, with the version of the format."""

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
    """Reads jobs from Redis first, and from their archive where Redis has let them go."""

    def __init__(self, jobs: JobQueue, storage: Storage) -> None:
        self._jobs = jobs
        self._storage = storage

    def get(self, job_id: str, tenant: str) -> Job:
        """The job of that id.

        Raises:
            NotFound: there is none, or it is another tenant's.
            StorageUnavailable: Redis has none, and the storage cannot be asked.
        """
        try:
            return self._jobs.get(job_id, tenant)
        except NotFound:
            return self._read(job_id, tenant)

    def repeated(self, tenant: str, idempotency: Idempotency) -> str | None:
        """The job that this key made before, if it still exists.

        Raises:
            IdempotencyMismatch: the key came with another request.
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
        """Store a finished job's record, then have Redis forget it; False: that was done before.

        However many do it at once, all store the same bytes.
        """
        try:
            job = self._jobs.get(job_id)
        except NotFound:
            return False
        # As it was asked for: a default that was said outweighs a preset.
        record = ArchivedJob.of(job).model_dump_json(exclude_unset=True)
        key = keys.archive_key(job.tenant, job_id)
        self._storage.put(key, record.encode(), "application/json")
        return self._jobs.let_go(job)

    def erase(self, job_id: str, tenant: str) -> Erased | None:
        """Forget a job; what it leaves in storage is noted for sweeping. None: there is none."""
        erased = self._jobs.erase(job_id, tenant)
        if erased is not None:
            return erased
        try:
            job = self._read(job_id, tenant)
        except NotFound:
            return None
        return self._jobs.erase_remains(job_id, Remains.of(job))

    def _read(self, job_id: str, tenant: str) -> Job:
        # Only ever below the caller's own tenant: another's archive cannot be named.
        data = self._storage.get(keys.archive_key(tenant, job_id))
        try:
            return ArchivedJob.model_validate_json(data).job()
        except ValidationError as error:
            # Not the error itself: it holds the caller's own data.
            wrong = error.error_count()
            log.error("%d fields of its archive are wrong", wrong, extra={"job": job_id})  # noqa: TRY400
            raise NotFound(f"no such job: {job_id}") from None
