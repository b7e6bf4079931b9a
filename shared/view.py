"""The job as callers see it, in the API's answers and in webhooks."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from shared.job import Compliance, Failure, Job, Result, Status, Subject
from shared.schema import Output, Prompt


class View(BaseModel):
    """An answer. Empty fields are null, never omitted."""

    model_config = ConfigDict(frozen=True)


class ResultView(Result):
    """The result file and its stable URL."""

    url: str


class JobView(View):
    """A job. Times are ISO 8601 in UTC; boxes and points are pixels of the photo as displayed."""

    id: str
    status: Status
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    model: str | None = Field(description="The model that ran, or the one requested.")
    prompt: Prompt
    objects: tuple[Prompt, ...]
    output: Output
    metadata: dict[str, Any]
    attempts: int = Field(description="Tries used so far.")
    queue_position: int | None = Field(
        description="Position in its lane while queued, from 1, at the time of this answer."
    )
    result: ResultView | None
    mask: str | None = Field(description="URL of the alpha, an 8-bit gray PNG.")
    subject: Subject | None
    compliance: Compliance | None = Field(
        description="The file checked against its preset's rules; null without `output.preset`."
    )
    warnings: tuple[str, ...]
    error: Failure | None
    timings_ms: dict[str, float]

    @classmethod
    def of(cls, job: Job, *, queue_position: int | None = None) -> Self:
        """The job's view; links begin with the server URL that the submitter used."""
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
    """Milliseconds since the epoch, as a UTC time."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
