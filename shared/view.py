"""The job as callers see it: in the API's answers and in webhooks alike."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from shared.job import Compliance, Failure, Job, Result, Status, Subject
from shared.schema import Output, Prompt


class View(BaseModel):
    """An answer. Fields that have nothing to say are null, never left out."""

    model_config = ConfigDict(frozen=True)


class ResultView(Result):
    """The file made, and where it always is."""

    url: str


class JobView(View):
    """A job. Times are ISO 8601 in UTC; boxes and points are pixels of the photo as displayed."""

    id: str
    status: Status
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    model: str | None = Field(description="The model that served it, or that was asked for.")
    prompt: Prompt
    objects: tuple[Prompt, ...]
    output: Output
    metadata: dict[str, Any]
    attempts: int = Field(description="Tries spent so far.")
    queue_position: int | None = Field(
        description="While queued: its place in its own lane, from 1, when it was looked at."
    )
    result: ResultView | None
    mask: str | None = Field(description="Where the alpha is, as an 8-bit gray PNG.")
    subject: Subject | None
    compliance: Compliance | None = Field(
        description="Where `output.preset` was given: the file held to its rules."
    )
    warnings: tuple[str, ...]
    error: Failure | None
    timings_ms: dict[str, float]

    @classmethod
    def of(cls, job: Job, *, queue_position: int | None = None) -> Self:
        """The job's view; links begin with the address its submitter saw."""
        outcome = job.outcome
        result = outcome.result if outcome else None
        link = f"{job.base_url}/v1/jobs/{job.id}"
        return cls(
            id=job.id,
            status=job.status,
            created_at=moment(job.created_ms),
            started_at=moment(job.started_ms) if job.started_ms else None,
            finished_at=moment(job.finished_ms) if job.finished_ms else None,
            model=(outcome.model if outcome else None) or job.request.model,
            prompt=job.request.prompt,
            objects=job.request.objects,
            output=job.request.output,
            metadata=job.request.metadata,
            attempts=job.attempts,
            queue_position=queue_position,
            result=ResultView(url=f"{link}/result", **dict(result)) if result else None,
            mask=f"{link}/mask" if result else None,
            subject=outcome.subject if outcome else None,
            compliance=outcome.compliance if outcome else None,
            warnings=outcome.warnings if outcome else (),
            error=outcome.error if outcome else None,
            timings_ms=outcome.timings_ms if outcome else {},
        )


def moment(milliseconds: int) -> datetime:
    """Milliseconds since the epoch, as callers see them."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
