"""Pages of a tenant's records, newest first, and the positions of queued jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

from shared.errors import NotFound
from shared.job import Job, Status
from shared.queue import keys as redis_keys
from shared.queue.connection import translated

#: Records that a filtered listing looks at before it returns a cursor.
SCAN_LIMIT = 1_000
#: Bytes of records in a page, beside its last record: a page ends early rather than be larger.
PAGE_BYTES = 1_000_000
_CHUNK = 20


class Record(Protocol):
    """Anything that is listed by its id."""

    @property
    def id(self) -> str: ...


R = TypeVar("R", bound=Record)


def page(
    redis: Any,
    index: str,
    read: Callable[[Sequence[str]], Iterable[tuple[R, int]]],
    *,
    limit: int,
    cursor: str | None,
    what: str,
) -> tuple[tuple[R, ...], str | None]:
    """One page of the records in a sorted set, newest first, and the next page's cursor.

    Args:
        redis: the client.
        index: key of the sorted set; its members are ids.
        read: reads the records of these ids, each with its size in bytes, and leaves out those
            that are gone or not wanted.
        limit: most records in the page, which ends early at `PAGE_BYTES`.
        cursor: id of the last record of the page before; None for the first page.
        what: what a record is called in the error.

    Raises:
        NotFound: the cursor's record is gone.
        QueueUnavailable: Redis is not answering.
    """
    with translated():
        start = 0
        if cursor is not None:
            rank = redis.zrevrank(index, cursor)
            if rank is None:
                raise NotFound(f"the cursor's {what} is gone; begin again without one")
            start = int(rank) + 1
        scanned: list[str] = redis.zrevrange(index, start, start + SCAN_LIMIT)
    found: list[R] = []
    size = 0
    for offset in range(0, len(scanned), _CHUNK):
        for record, its_size in read(scanned[offset : offset + _CHUNK]):
            if len(found) == limit or size >= PAGE_BYTES:
                return tuple(found), found[-1].id
            found.append(record)
            size += its_size
    more = len(scanned) > SCAN_LIMIT
    return tuple(found), scanned[-1] if more else None


def read_jobs(
    redis: Any, ids: Sequence[str], status: Status | None = None
) -> Iterator[tuple[Job, int]]:
    """The jobs of these ids that exist and have this status (None: any), with their bytes."""
    with translated():
        if status is not None:
            pipeline = redis.pipeline(transaction=False)
            for job_id in ids:
                pipeline.hget(redis_keys.JOB.key(job_id), "status")
            found = zip(ids, pipeline.execute(), strict=True)
            ids = [job_id for job_id, its_status in found if its_status == status]
        pipeline = redis.pipeline(transaction=False)
        for job_id in ids:
            pipeline.hgetall(redis_keys.JOB.key(job_id))
        answers = pipeline.execute()
    for job_id, fields in zip(ids, answers, strict=True):
        if fields and (status is None or fields["status"] == status):
            yield Job.from_fields(job_id, fields), sum(map(len, fields.values()))


def positions(redis: Any, jobs: Sequence[Job]) -> list[int | None]:
    """Queue positions from 1 within each job's lane; None for a job that is not queued."""
    queued = [job for job in jobs if job.status is Status.QUEUED]
    if not queued:
        return [None] * len(jobs)
    with translated():
        pipeline = redis.pipeline(transaction=False)
        for job in queued:
            pipeline.zrank(redis_keys.LANE.key(job.lane.value), job.id)
        ranks = {job.id: rank for job, rank in zip(queued, pipeline.execute(), strict=True)}
    found = [ranks.get(job.id) for job in jobs]
    return [None if rank is None else int(rank) + 1 for rank in found]
