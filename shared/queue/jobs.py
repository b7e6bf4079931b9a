"""The queue as callers use it: accept, look, list, cancel, erase."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from shared.errors import NotFound
from shared.job import Job, Status
from shared.queue import keys as redis_keys
from shared.queue import listing
from shared.queue.admission import Admission
from shared.queue.answers import CancelAnswer, Erased, Page, Remains, Room
from shared.queue.connection import Connection, translated
from shared.queue.times import LINGER_MS


class JobQueue(Admission):
    """The records of jobs and of their inputs."""

    def __init__(
        self,
        connection: Connection,
        *,
        retention_ms: int,
        record_ms: int | None = None,
        room: Room | None = None,
    ) -> None:
        """Keep jobs in the Redis of `connection`.

        Args:
            connection: see above.
            retention_ms: how long a finished job and its files are kept.
            record_ms: how much of that time its record stays in Redis; default: all of it.
            room: how many jobs may be queued; default: no limit.
        """
        super().__init__(connection, room)
        self._retention_ms = retention_ms
        self._record_ms = record_ms or retention_ms

    def get(self, job_id: str, tenant: str | None = None) -> Job:
        """The job of that id.

        Raises:
            NotFound: there is none, or it is not this tenant's.
        """
        with translated():
            fields = self._connection.redis.hgetall(redis_keys.JOB.key(job_id))
        if not fields or (tenant is not None and fields["tenant"] != tenant):
            raise NotFound(f"no such job: {job_id}")
        return Job.from_fields(job_id, fields)

    def positions(self, jobs: Sequence[Job]) -> list[int | None]:
        """Queue positions from 1 within each job's lane; None for a job that is not queued."""
        return listing.positions(self._connection.redis, jobs)

    def position(self, job: Job) -> int | None:
        """As `positions`, for one job."""
        return self.positions([job])[0]

    def page(
        self, tenant: str, *, limit: int, cursor: str | None = None, status: Status | None = None
    ) -> Page:
        """A tenant's jobs, newest first; `cursor` is the id of the last job of the page before.

        Raises:
            NotFound: the cursor's job is gone.
        """
        redis = self._connection.redis
        index = redis_keys.JOBS.key(tenant)
        read = partial(listing.read_jobs, redis, status=status)
        return Page(*listing.page(redis, index, read, limit=limit, cursor=cursor, what="job"))

    def cancel(self, job_id: str, tenant: str) -> CancelAnswer:
        """Stop a job wherever it is."""
        return CancelAnswer(
            self._connection.run(
                "cancel",
                id=job_id,
                tenant=tenant,
                retention_ms=self._retention_ms,
                record_ms=self._record_ms,
                linger_ms=LINGER_MS,
            )
        )

    def erase(self, job_id: str, tenant: str | None = None) -> Erased | None:
        """Forget a job; what it leaves in storage is noted for sweeping. None: there is none."""
        return Erased.parse(
            self._connection.run("erase", id=job_id, tenant=tenant, linger_ms=LINGER_MS)
        )

    def let_go(self, job: Job) -> bool:
        """Forget the record of a job that is archived; False: it was gone already."""
        return bool(
            self._connection.run(
                "let_go",
                id=job.id,
                archived=Remains.of(job).to_fields(),
                retention_ms=self._retention_ms,
            )
        )

    def erase_remains(self, job_id: str, remains: Remains) -> Erased | None:
        """As `erase`, of a job whose record Redis has let go."""
        return Erased.parse(
            self._connection.run(
                "erase",
                id=job_id,
                tenant=remains.tenant,
                archived=remains.to_fields(),
                linger_ms=LINGER_MS,
            )
        )

    def swept(self, *names: str) -> None:
        """These are gone from storage: nothing to sweep."""
        if names:
            with translated():
                self._connection.redis.zrem(redis_keys.SWEEP.key(), *names)
