"""The queue as a worker uses it: claim, renew, finish, release, every call under a lease token."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from shared.errors import StorageUnavailable
from shared.job import Input, Job, Lane, Outcome, Status
from shared.queue.connection import Connection, pairs
from shared.queue.times import LINGER_MS, RECLAIMED_RING_MS


@dataclass(frozen=True, slots=True)
class Claim:
    """A job that this worker owns while the lease lasts."""

    job: Job
    photo: Input
    token: str
    backdrop: Input | None = None


@dataclass(frozen=True, slots=True)
class Load:
    """What a job that can be claimed will need.

    Attributes:
        lane: where it waits.
        photo: what is known of its photo.
        alone: it is in quarantine and runs only in a worker that has no other job.
        extra_pixels: what it counts beside its photo's.
    """

    lane: Lane
    photo: Input
    alone: bool = False
    extra_pixels: int = 0


@dataclass(frozen=True, slots=True)
class Released:
    """Result of a release: requeued on `lane`, or failed because the storage timeout ran out."""

    lane: Lane | None = None
    failed: bool = False


class LeaseTable:
    """Claims of one worker process."""

    def __init__(
        self,
        connection: Connection,
        *,
        worker: str,
        lease_ms: int,
        retention_ms: int,
        record_ms: int | None = None,
    ) -> None:
        self._connection = connection
        self._worker = worker
        self._lease_ms = lease_ms
        self._retention_ms = retention_ms
        self._record_ms = record_ms or retention_ms

    def weigh(self, job_id: str) -> Load | None:
        """What claiming the job would need, or None if it cannot be claimed."""
        answer = self._connection.run("weigh", id=job_id)
        if answer is None:
            return None
        lane, alone, extra, tenant, input_id, fields = answer
        photo = Input.from_fields(input_id, {"tenant": tenant, **pairs(fields)})
        return Load(Lane(lane), photo, bool(int(alone)), int(extra))

    def claim(self, job_id: str, *, alone: bool = False) -> Claim | None:
        """Claim the job; None after a duplicate message, or if it is canceled or not due yet.

        A job in quarantine is given only to a worker that has no other job: `alone`.
        """
        token = secrets.token_hex(8)
        answer = self._connection.run(
            "claim",
            id=job_id,
            token=token,
            worker=self._worker,
            lease_ms=self._lease_ms,
            retention_ms=self._retention_ms,
            alone=alone or None,
        )
        if answer is None:
            return None
        job = Job.from_fields(job_id, pairs(answer[0]))
        photo = Input.from_fields(job.input_id, pairs(answer[1]))
        named, behind = job.request.output.backdrop, pairs(answer[2])
        backdrop = Input.from_fields(named, behind) if named and behind else None
        return Claim(job, photo, token, backdrop)

    def lost(self, claims: Sequence[Claim]) -> frozenset[str]:
        """The ids of jobs that are no longer this worker's: canceled, erased or reclaimed."""
        return self._renew(claims, None)

    def renew(self, claims: Sequence[Claim]) -> frozenset[str]:
        """Renew leases; the ids that are lost."""
        return self._renew(claims, self._lease_ms)

    def _renew(self, claims: Sequence[Claim], lease_ms: int | None) -> frozenset[str]:
        if not claims:
            return frozenset()
        leases = [[claim.job.id, claim.token] for claim in claims]
        return frozenset(self._connection.run("renew", leases=leases, lease_ms=lease_ms))

    def record_input(
        self,
        input_id: str,
        *,
        digest: str,
        size: int,
        pixels: int | None = None,
        fetched: bool = False,
    ) -> bool:
        """Record that a photo is stored, its digest and size; False: it was erased.

        Args:
            input_id: of the photo.
            digest: SHA-256 in hex of the bytes that were read here.
            size: in bytes.
            pixels: from its header, if that was read.
            fetched: they were just fetched and stored, so they replace what was stored before.

        Raises:
            StorageUnavailable: another reader got other bytes: the storage told one of them wrong.
        """
        answer = self._connection.run(
            "record_input",
            id=input_id,
            digest=digest,
            bytes=size,
            pixels=pixels,
            fetched=fetched or None,
        )
        if answer == "differs":
            raise StorageUnavailable("the storage gave two readers different bytes of one photo")
        return bool(answer)

    def finish(self, claim: Claim, status: Status, outcome: Outcome) -> bool:
        """End the job; False if the lease was lost before."""
        return bool(
            self._connection.run(
                "finish",
                id=claim.job.id,
                token=claim.token,
                status=status,
                outcome=outcome.model_dump_json(exclude_none=True),
                retention_ms=self._retention_ms,
                record_ms=self._record_ms,
                linger_ms=LINGER_MS,
            )
        )

    def release(
        self,
        claim: Claim,
        *,
        delay_ms: int = 0,
        spend: bool = True,
        patience_ms: int | None = None,
        impatient: Outcome | None = None,
    ) -> Released:
        """Return the job to its queue.

        Args:
            claim: the job's claim.
            delay_ms: time before the job can be claimed again.
            spend: whether the attempt counts.
            patience_ms: storage timeout: how long one outage may last for the job, from its first
                release with a timeout; after that it fails with the outcome `impatient`. An outage
                is over once any job has succeeded.
            impatient: see `patience_ms`.
        """
        verdict, lane = self._connection.run(
            "release",
            id=claim.job.id,
            token=claim.token,
            delay_ms=delay_ms,
            spend=spend,
            patience_ms=patience_ms,
            outcome=impatient.model_dump_json(exclude_none=True) if impatient else None,
            reclaimed_ms=RECLAIMED_RING_MS,
            retention_ms=self._retention_ms,
            record_ms=self._record_ms,
            linger_ms=LINGER_MS,
        )
        return Released(Lane(lane) if lane else None, failed=verdict == "failed")
