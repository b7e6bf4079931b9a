"""The body of a job request."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import AfterValidator, FailFast, Field, field_serializer, model_validator

from shared.field_problem import FieldProblem
from shared.model import HttpUrl, InputId, JobId, Model, refusal
from shared.schema.output import Output
from shared.schema.prompt import Prompt

MAX_OBJECTS = 32
#: In all objects together: a record stays below 100 KB, and so does the time to draw its prompts.
MAX_POINTS_OF_A_JOB = 1_000
MAX_METADATA_BYTES = 4096


class Event(StrEnum):
    """Events that a webhook can receive."""

    SUCCEEDED = "job.succeeded"
    FAILED = "job.failed"
    CANCELED = "job.canceled"
    NEEDS_REVIEW = "job.needs_review"


#: The ways a job can end; a webhook's default events.
ENDS = frozenset({Event.SUCCEEDED, Event.FAILED, Event.CANCELED})


class Webhook(Model):
    """Where to send the job's webhooks."""

    url: HttpUrl
    events: Annotated[frozenset[Event], FailFast()] = Field(
        default=ENDS,
        min_length=1,
        description="Default: every way a job can end. If `job.needs_review` is listed, it is sent "
        "for a succeeded job whose `subject.needs_review` is true, as a separate message with its "
        "own id; `job.succeeded` is sent too if it is listed.",
    )

    @field_serializer("events")
    def _in_order(self, events: frozenset[Event]) -> list[Event]:
        """Sorted: a set's order differs between processes, and would change the digest."""
        return sorted(events)


class Priority(StrEnum):
    """`interactive` if someone is waiting for the result, else `bulk`."""

    INTERACTIVE = "interactive"
    BULK = "bulk"


def _bounded_metadata(value: dict[str, Any]) -> dict[str, Any]:
    try:
        size = len(json.dumps(value, separators=(",", ":"), allow_nan=False).encode())
    except ValueError as error:
        raise refusal("must be plain JSON, without NaN or infinity") from error
    if size > MAX_METADATA_BYTES:
        raise refusal(f"{size} bytes of JSON; at most {MAX_METADATA_BYTES}")
    return value


Metadata = Annotated[dict[str, Any], AfterValidator(_bounded_metadata)]

SOURCES = ("url", "upload", "job", "render")


class JobRequest(Model):
    """A cutout job. Its photo is one of `url`, `upload`, `job`, `render` or an `image` part."""

    url: HttpUrl | None = Field(default=None, description="URL to fetch the photo from.")
    upload: InputId | None = Field(
        default=None, description="A photo uploaded with `POST /v1/uploads`."
    )
    job: JobId | None = Field(
        default=None, description="The id of a job whose photo is segmented again."
    )
    render: JobId | None = Field(
        default=None,
        description="The id of a job whose finished alpha gets a new `output`; no prompt or model.",
    )
    model: str | None = Field(default=None, max_length=64, description="See `GET /v1/models`.")
    prompt: Prompt = Field(default_factory=Prompt)
    objects: Annotated[tuple[Prompt, ...], FailFast()] = Field(
        default=(),
        max_length=MAX_OBJECTS,
        description="Instead of `prompt`: several objects, by points or a box, cut out together. "
        f"At most {MAX_POINTS_OF_A_JOB:,} points in all.",
    )
    output: Output = Field(default_factory=Output)
    webhook: Webhook | None = None
    priority: Priority = Priority.INTERACTIVE
    metadata: Metadata = Field(
        default_factory=dict, description="Any JSON object of at most 4 KiB; returned with the job."
    )

    @property
    def sources(self) -> list[str]:
        """The names of the sources given in the body."""
        return [name for name in SOURCES if getattr(self, name) is not None]

    @property
    def prompts(self) -> tuple[Prompt, ...]:
        """What to segment in the photo: the objects, or the one prompt."""
        return self.objects or (self.prompt,)

    def excess(self) -> FieldProblem | None:
        """More points than a job may have; None if there are not.

        No validator, because records that were accepted before this limit must stay readable.
        """
        count = sum(len(prompt.points) for prompt in self.prompts)
        if count <= MAX_POINTS_OF_A_JOB:
            return None
        return FieldProblem(
            "objects", f"{count:,} points in all; at most {MAX_POINTS_OF_A_JOB:,} are taken"
        )

    def misfit(self, width: int, height: int) -> FieldProblem | None:
        """`Prompt.misfit` of the first prompt that does not fit; None if all do."""
        for index, prompt in enumerate(self.prompts):
            found = prompt.misfit(width, height)
            if found is not None:
                place = f"objects.{index}" if self.objects else "prompt"
                return FieldProblem(f"{place}.{found.field}", found.message)
        return None

    @model_validator(mode="after")
    def _objects_stand_alone(self) -> Self:
        if self.objects and not self.prompt.is_auto:
            raise refusal("give either objects or a prompt", field="objects")
        if any(item.mask is not None for item in self.objects):
            raise refusal(
                "an object takes points and a box; a mask goes in `prompt`", field="objects"
            )
        if any(item.is_auto for item in self.objects):
            raise refusal("each needs a point or a box", field="objects")
        return self

    @model_validator(mode="after")
    def _render_stands_alone(self) -> Self:
        if self.render is not None and (
            self.model is not None or self.objects or not self.prompt.is_auto
        ):
            raise refusal("takes only a new `output`: no prompt, objects or model", field="render")
        if self.render is not None and self.output.edge is not Output().edge:
            raise refusal(
                "keeps its job's edges; leave out `output.edge`, or use `job` instead of `render`",
                field="render",
            )
        return self
