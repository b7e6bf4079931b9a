"""The way into the queue: photos are noted, room is checked, jobs are accepted."""

from __future__ import annotations

from shared.errors import IdempotencyMismatch, NotFound, QueueFull, UploadQuota
from shared.job import Input, Job, Lane
from shared.queue import keys as redis_keys
from shared.queue.answers import Accepted, Idempotency, Room, refuse_full
from shared.queue.connection import Connection, translated
from shared.queue.times import RING_MS

#: Above this share of maxmemory nothing is accepted, so that running jobs can still finish.
MEMORY_SHARE = 0.85
_NO_MEMORY = "the queue's memory is nearly full; try again later"
IDEMPOTENCY_MS = 24 * 3600 * 1000


class Admission:
    """Notes photos and accepts jobs."""

    def __init__(self, connection: Connection, room: Room | None = None) -> None:
        """`room`: how much may be queued; default: no limit."""
        self._connection = connection
        self._room = room

    def note_input(
        self,
        input_id: str,
        tenant: str,
        *,
        expiry_ms: int,
        open_ms: int | None = None,
        size: int | None = None,
        quota: int | None = None,
    ) -> int:
        """Note an input before it is stored; returns when it is swept if no job takes it, in ms.

        Args:
            input_id: of the input.
            tenant: whose it is.
            expiry_ms: how long it waits for a job.
            open_ms: how long its signed address can be put to.
            size: in bytes, where it is known.
            quota: bytes of uploads that the tenant may have waiting; this one counts until a job
                uses it or it is swept. None: it is not an upload.

        Raises:
            QueueFull: Redis's memory is nearly used up; nothing is noted.
            UploadQuota: the tenant's quota has no room for it; nothing is noted.
        """
        answer = self._connection.run(
            "note_input",
            id=input_id,
            tenant=tenant,
            expiry_ms=expiry_ms,
            open_ms=open_ms,
            bytes=size,
            quota=quota,
            memory_share=MEMORY_SHARE,
        )
        if answer == "memory":
            raise QueueFull(_NO_MEMORY)
        if answer == "quota":
            raise UploadQuota
        return int(answer)

    def input(self, input_id: str, tenant: str) -> Input:
        """The input of that id.

        Raises:
            NotFound: there is none, or it is another tenant's.
        """
        with translated():
            fields = self._connection.redis.hgetall(redis_keys.INPUT.key(input_id))
        if fields.get("tenant") != tenant:
            raise NotFound(f"no such upload: {input_id}")
        return Input.from_fields(input_id, fields)

    def slot(self, tenant: str, key: str) -> tuple[str, Idempotency] | None:
        """The job that this idempotency key made, erased since or not, and what came with it."""
        slot = redis_keys.IDEMPOTENCY.key(tenant, key)
        with translated():
            job_id, fingerprint = self._connection.redis.hmget(slot, "job", "fingerprint")
        return None if job_id is None else (str(job_id), Idempotency(key, str(fingerprint)))

    def admit(self, tenant: str, photo: Input | None = None, *, expiry_ms: int = 0) -> None:
        """Check for room, and register the photo that is about to be stored.

        Args:
            tenant: whose job it will be.
            photo: None if it is stored already, or will be fetched.
            expiry_ms: milliseconds until the photo is swept if no job uses it.

        Raises:
            QueueFull: Redis's memory is nearly used up.
            TooManyJobs: the queue is full, or the tenant's share of it, in jobs or bytes.
        """
        answer = self._connection.run(
            "admit",
            tenant=tenant,
            memory_share=MEMORY_SHARE,
            limits=self._room.limits() if self._room else None,
            input=photo.id if photo else None,
            expiry_ms=expiry_ms,
        )
        if answer == "memory":
            raise QueueFull(_NO_MEMORY)
        refuse_full(answer)

    def accept(self, job: Job, photo: Input, idempotency: Idempotency | None = None) -> Accepted:
        """Create the job, at most once per idempotency key.

        Raises:
            IdempotencyMismatch: the key was used with another request.
            NotFound: the photo, or its backdrop, was deleted meanwhile.
            QueueFull: the records hold all the bytes that they may.
            TooManyJobs: the queue is full, or the tenant's share of it, in jobs or bytes.
        """
        lane = Lane.of(job.request)
        answer, job_id, *fresh = self._connection.run(
            "accept",
            id=job.id,
            tenant=job.tenant,
            lane=lane,
            fields=job.to_fields(),
            input=photo.id,
            backdrop=job.request.output.backdrop,
            url=photo.url if not photo.stored else None,
            digest=photo.digest,
            bytes=photo.bytes,
            pixels=photo.pixels,
            idempotency_key=idempotency.key if idempotency else None,
            fingerprint=idempotency.fingerprint if idempotency else None,
            idempotency_ms=IDEMPOTENCY_MS,
            ring_ms=RING_MS,
            limits=self._room.limits() if self._room else None,
        )
        refuse_full(answer)
        if answer == "mismatch":
            raise IdempotencyMismatch
        if answer == "input_gone":
            raise NotFound("the photo has been deleted")
        if answer == "backdrop_gone":
            raise NotFound("the background has been deleted")
        if answer == "repeated":
            return Accepted(job_id, repeated=True)
        created_ms, rank = fresh
        return Accepted(job_id, job=job.evolve(created_ms=created_ms, lane=lane), position=rank + 1)
