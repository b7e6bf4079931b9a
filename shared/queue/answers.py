"""Arguments and answers of the job queue."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from shared.errors import QueueFull, TooManyJobs
from shared.job import Job, Lane
from shared.storage import keys

#: Share of Redis's maxmemory that records may hold by the scripts' estimate. The rest is for what
#: is not counted: photos' records, doorbells, what Redis itself needs.
RECORDS_SHARE = 0.7


@dataclass(frozen=True, slots=True)
class Accepted:
    """Result of accept; `repeated` if an earlier request created the job.

    Attributes:
        job_id: of the job that there is now.
        repeated: see above.
        job: as it was accepted; None if repeated, since its state may have changed.
        position: its place in its lane, from 1.
    """

    job_id: str
    repeated: bool = False
    job: Job | None = None
    position: int | None = None


@dataclass(frozen=True, slots=True)
class Idempotency:
    """A caller's key, and the digest of what came with it."""

    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Erased:
    """Storage keys that an erased job leaves; `settled` if no worker can still add to them."""

    files: tuple[str, ...]
    settled: bool

    @classmethod
    def parse(cls, answer: tuple[list[str], int] | None) -> Self | None:
        """From what `erase.lua` returns."""
        return None if answer is None else cls(tuple(answer[0]), bool(answer[1]))


@dataclass(frozen=True, slots=True)
class Remains:
    """What erasing a job needs, kept after its record is gone."""

    tenant: str
    input_id: str
    claims: int
    backdrop: str | None = None

    @classmethod
    def of(cls, job: Job) -> Self:
        return cls(job.tenant, job.input_id, job.claims, job.request.output.backdrop)

    @classmethod
    def parse(cls, name: str) -> Self:
        """Read a member of `expiry`; without a backdrop its name lacks the last slash too."""
        parts = keys.read(keys.REMAINS, name) or keys.read(keys.REMAINS, f"{name}/")
        if parts is None:
            raise ValueError(f"not the name of a job's remains: {name}")
        backdrop = parts["backdrop"] or None
        return cls(parts["tenant"], parts["input"], int(parts["claims"] or 0), backdrop)

    def to_fields(self) -> dict[str, str]:
        """As a job's record has them: one never claimed has no `claims`."""
        fields = {"tenant": self.tenant, "input": self.input_id}
        fields |= {"claims": str(self.claims)} if self.claims else {}
        return fields | ({"backdrop": self.backdrop} if self.backdrop else {})


@dataclass(frozen=True, slots=True)
class Page:
    """Jobs, newest first, and where the next page begins (None at the end)."""

    jobs: tuple[Job, ...]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class Room:
    """How much the queue may hold.

    Attributes:
        queue: jobs queued, in all.
        tenant: jobs queued of one tenant.
        bytes: of Redis that records may hold, finished and archived ones too; None: no limit. If
            Redis has a maxmemory, at most `RECORDS_SHARE` of that.
        share: of `bytes` that one tenant's records may hold.
    """

    queue: int
    tenant: int
    bytes: int | None = None
    share: float = 1.0

    def limits(self) -> dict[str, object]:
        """As the scripts take it."""
        jobs: dict[str, object] = {"lanes": list(Lane), "queue": self.queue, "tenant": self.tenant}
        if self.bytes is None:
            return jobs
        return jobs | {"bytes": self.bytes, "share": self.share, "memory_share": RECORDS_SHARE}


class CancelAnswer(StrEnum):
    """Result of a cancel."""

    CANCELED = "canceled"
    TERMINAL = "terminal"
    MISSING = "missing"


def refuse_full(answer: str | None) -> None:
    """Raise TooManyJobs or QueueFull if a script answered that there is no room."""
    if answer == "queue":
        raise TooManyJobs("the queue is full; try again later")
    if answer == "tenant":
        raise TooManyJobs("this API key's share of the queue is full; try again later")
    if answer == "tenant_bytes":
        raise TooManyJobs("this API key's share of the queue's memory is full; try again later")
    if answer == "bytes":
        raise QueueFull("the queue's memory is nearly full; try again later")
