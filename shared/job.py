"""The job record as Redis holds it, and the allowed transitions of its status."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Self

from pydantic import Field, TypeAdapter

from shared.schema import JobRequest, Model, Priority


class Status(StrEnum):
    """The state of a job."""

    QUEUED = "queued"
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


TERMINAL = frozenset({Status.SUCCEEDED, Status.FAILED, Status.CANCELED})

#: Allowed transitions. The Lua scripts enforce them; a test checks that they do.
TRANSITIONS: Mapping[Status, frozenset[Status]] = {
    Status.QUEUED: frozenset({Status.PROCESSING, Status.CANCELED}),
    Status.PROCESSING: frozenset({Status.QUEUED, *TERMINAL}),
    **{status: frozenset() for status in TERMINAL},
}


class Lane(StrEnum):
    """A queue of doorbells. Any worker serves all of them."""

    RECLAIMED = "reclaimed"  # jobs of a dead worker
    INTERACTIVE = "interactive"
    BULK = "bulk"
    RENDER = "render"  # needs no device

    @classmethod
    def of(cls, request: JobRequest) -> Lane:
        if request.render is not None:
            return cls.RENDER
        return cls.BULK if request.priority is Priority.BULK else cls.INTERACTIVE


class StoredFile(Model):
    """What is known of a stored file, to compare with what storage gives back."""

    bytes: int
    sha256: str


_FILES = TypeAdapter(dict[str, StoredFile])


class Result(Model):
    """The result file."""

    content_type: str
    width: int
    height: int
    bytes: int
    sha256: str


class Subject(Model):
    """What was found in the photo.

    `box` is `[x1, y1, x2, y2]` in the photo's pixels, `area` the share of the photo, 0..1. `scores`
    and `stability` are of the candidate masks, the chosen one first; of several objects, one each.
    """

    box: tuple[int, int, int, int]
    area: float
    scores: tuple[float, ...]
    stability: tuple[float, ...] = ()
    needs_review: bool
    reasons: tuple[str, ...] = ()


class Check(Model):
    """One rule of a preset, and the finished file's value for it."""

    name: str
    wanted: str
    measured: str
    passed: bool


class Compliance(Model):
    """Whether the finished file, decoded again, meets the rules of its preset.

    `upscale_required`: a rule is not met because nothing was enlarged; `output.upscale` allows it.
    """

    preset: str
    passed: bool
    upscale_required: bool
    checks: tuple[Check, ...]


class Failure(Model):
    """Why a job failed."""

    code: str
    message: str


class Outcome(Model):
    """What a worker reports when a job succeeds or fails."""

    model: str | None = None
    result: Result | None = None
    files: dict[str, StoredFile] = Field(default_factory=dict)  #: beside the result, by name
    subject: Subject | None = None
    compliance: Compliance | None = None
    error: Failure | None = None
    warnings: tuple[str, ...] = ()
    timings_ms: dict[str, float] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Input:
    """A stored photo, counted by the jobs that use it."""

    id: str
    tenant: str
    url: str | None = None  #: fetch it from here first, while not `stored`
    stored: bool = False
    digest: str | None = None  #: SHA-256 in hex, once some process has read the bytes
    bytes: int | None = None  #: as declared for an upload, as stored otherwise
    pixels: int | None = None  #: from its header, once that has been read
    sealed: bool = False  #: an upload that a job has named: its address takes no more bytes

    @property
    def to_fetch(self) -> bool:
        """Whether it must be fetched from its URL first."""
        return self.url is not None and not self.stored

    @classmethod
    def from_fields(cls, input_id: str, fields: Mapping[str, str]) -> Self:
        size, pixels = fields.get("bytes"), fields.get("pixels")
        return cls(
            id=input_id,
            tenant=fields["tenant"],
            url=fields.get("url"),
            stored=fields.get("stored") == "1",
            digest=fields.get("digest"),
            bytes=int(size) if size else None,
            pixels=int(pixels) if pixels else None,
            sealed="sealed" in fields,
        )


@dataclass(frozen=True, slots=True)
class Job:
    """One job. Times are milliseconds since the epoch by Redis's clock."""

    id: str
    tenant: str
    request: JobRequest
    input_id: str
    base_url: str  #: the service's address as the submitter saw it; links begin with it
    status: Status = Status.QUEUED
    lane: Lane = Lane.INTERACTIVE
    extra_pixels: int = 0  #: counted beside its photo's: see `shared.schema.weight`
    parent_alpha: str | None = None  #: storage key of the alpha that `mask` or `render` names
    parent_files: Mapping[str, StoredFile] = field(default_factory=dict)  #: known beside that
    created_ms: int = 0
    started_ms: int | None = None
    finished_ms: int | None = None
    attempts: int = 0  #: tries spent
    claims: int = 0  #: times claimed, never taken back: the number in its storage keys
    outcome: Outcome | None = None

    @property
    def is_terminal(self) -> bool:
        return self.status in TERMINAL

    def evolve(self, **changes: Any) -> Job:
        """A copy with these fields changed."""
        return replace(self, **changes)

    def to_fields(self) -> dict[str, str]:
        """The Redis fields that `accept` writes; the scripts add the rest."""
        fields = {
            "tenant": self.tenant,
            "request": self.request.model_dump_json(exclude_unset=True),
            "input": self.input_id,
            "base_url": self.base_url,
        }
        if self.parent_alpha:
            fields["parent_alpha"] = self.parent_alpha
        if self.parent_files:
            fields["parent_files"] = _FILES.dump_json(dict(self.parent_files)).decode()
        if self.extra_pixels:
            fields["extra_pixels"] = str(self.extra_pixels)
        if self.request.output.backdrop:
            fields["backdrop"] = self.request.output.backdrop  # for erase, which counts it
        return fields

    @classmethod
    def from_fields(cls, job_id: str, fields: Mapping[str, str]) -> Self:
        def moment(name: str) -> int | None:
            return int(fields[name]) if fields.get(name) else None

        outcome = fields.get("outcome")
        return cls(
            id=job_id,
            tenant=fields["tenant"],
            request=JobRequest.model_validate_json(fields["request"]),
            input_id=fields["input"],
            base_url=fields["base_url"],
            status=Status(fields["status"]),
            lane=Lane(fields["lane"]),
            extra_pixels=int(fields.get("extra_pixels", 0)),
            parent_alpha=fields.get("parent_alpha"),
            parent_files=_FILES.validate_json(fields.get("parent_files", "{}")),
            created_ms=int(fields["created"]),
            started_ms=moment("started"),
            finished_ms=moment("finished"),
            attempts=int(fields.get("attempts", 0)),
            claims=int(fields.get("claims", 0)),
            outcome=Outcome.model_validate_json(outcome) if outcome else None,
        )


def new_id(kind: str) -> str:
    """A fresh id such as `job_0f3c…`: 96 random bits, so never guessed and never repeated."""
    return f"{kind}_{secrets.token_hex(12)}"
