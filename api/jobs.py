"""`/v1/jobs`: submit, get, wait, list, download, cancel, erase."""

from __future__ import annotations

import re
from contextlib import suppress

from flask import Response, make_response, redirect, request
from flask_openapi3 import APIBlueprint, Tag
from pydantic import BaseModel, ConfigDict, Field

from api.answers import json_answer
from api.intake import REQUEST_BODY, REQUEST_HEADERS, idempotency_key, read_submission
from api.keyring import SECURITY, tenant
from api.problems import problem_responses
from api.services import Services, services
from api.submission import submit
from shared.errors import Busy, NoResult, NotFinished, NotFound, StorageUnavailable
from shared.job import Job, Status
from shared.metrics.jobs import count_end
from shared.queue.answers import CancelAnswer
from shared.schema import JobId
from shared.storage import keys
from shared.stored import read_file
from shared.view import JobView

#: Seconds for which a new presigned URL is valid.
_LINK_EXPIRY = 900
_LONGEST_WAIT = 60.0
_PREFER_WAIT = re.compile(r"(?:^|[\s,;])wait=(\d+(?:\.\d+)?)(?=$|[\s,;])", re.IGNORECASE)

blueprint = APIBlueprint(
    "jobs",
    __name__,
    url_prefix="/v1/jobs",
    abp_security=SECURITY,
    abp_tags=[Tag(name="jobs", description="Submit a photo, get a cutout.")],
    abp_responses=problem_responses(400, 401, 404, 409, 422, 503),
)


class JobPath(BaseModel):
    """The job's id."""

    job_id: JobId


class WaitQuery(BaseModel):
    """How long to wait for the job to finish."""

    model_config = ConfigDict(extra="forbid")

    wait: float = Field(default=0, ge=0, le=_LONGEST_WAIT, description="Seconds, at most 60.")


class ListQuery(BaseModel):
    """Which jobs to list."""

    model_config = ConfigDict(extra="forbid")

    status: Status | None = Field(default=None, description="Only jobs with this status.")
    limit: int = Field(default=50, ge=1, le=200)
    cursor: JobId | None = Field(default=None, description="`next` of the previous page.")


class JobPage(BaseModel):
    """A page of jobs, newest first."""

    jobs: list[JobView]
    next: str | None = Field(description="The cursor of the next page; null at the end.")


@blueprint.post(
    "",
    summary="Submit a job",
    description="Send the photo as a multipart `image` part (with the fields as JSON in a `job` "
    "part), or name it by exactly one of `url`, `upload`, `job`, `render` in a JSON body. "
    "`Prefer: wait=N` (at most 60) answers 200 if the job finishes within N seconds; a busy server "
    "may answer 202 at once. `Idempotency-Key` makes it safe to repeat a request.",
    responses={200: JobView, 202: JobView, **problem_responses(413, 415, 429)},
    openapi_extensions={"requestBody": REQUEST_BODY, "parameters": REQUEST_HEADERS},
)
def create() -> Response:
    parts = services()
    submission = read_submission(parts.settings, tenant(), idempotency_key())
    accepted = submit(parts, submission)
    wait = _preferred_wait()
    if accepted.job is not None and not wait:
        job, waited = accepted.job, False
        response = json_answer(JobView.of(job, queue_position=accepted.position), 202)
    else:
        job, waited = _finished(parts, accepted.job_id, wait)
        response = _answer(parts, job, 200 if waited and job.is_terminal else 202)
    response.headers["Location"] = f"{job.base_url}/v1/jobs/{job.id}"
    if waited:
        response.headers["Preference-Applied"] = "wait"
    if accepted.repeated:
        response.headers["Idempotent-Replayed"] = "true"
    return response


@blueprint.get(
    "",
    summary="List this key's jobs",
    description="Newest first. Jobs are listed while their records are in Redis (by default one "
    "day after they finish); older jobs can still be fetched by id.",
    responses={200: JobPage},
)
def index(query: ListQuery) -> Response:
    jobs = services().jobs
    page = jobs.page(tenant(), limit=query.limit, cursor=query.cursor, status=query.status)
    placed = zip(page.jobs, jobs.positions(page.jobs), strict=True)
    views = [JobView.of(job, queue_position=position) for job, position in placed]
    return json_answer(JobPage(jobs=views, next=page.cursor), 200)


@blueprint.get(
    "/<job_id>",
    summary="Get a job",
    description="`?wait=N` answers when the job has finished, or after N seconds; 503 `busy` "
    "if too many callers are waiting.",
    responses={200: JobView},
)
def show(path: JobPath, query: WaitQuery) -> Response:
    parts = services()
    job = _waited(parts, path.job_id, query.wait)
    return _answer(parts, job, 200)


@blueprint.get(
    "/<job_id>/result",
    summary="Get the result file",
    description="The bytes, or 303 to a new presigned URL; this URL stays valid.",
    responses={200: {"content": {"image/*": {}, "application/zip": {}}}, 303: None},
)
def result(path: JobPath) -> Response:
    job = _succeeded(path.job_id)
    output = job.request.output
    name = f"{job.id}.{output.format.value}"
    return _file(job, keys.RESULT, output.format.content_type, name)


@blueprint.get(
    "/<job_id>/mask",
    summary="Get the alpha",
    description="8-bit gray PNG of the photo's size: the bytes, or 303 to a new presigned URL.",
    responses={200: {"content": {"image/png": {}}}, 303: None},
)
def mask(path: JobPath) -> Response:
    return _file(_succeeded(path.job_id), keys.ALPHA, "image/png", f"{path.job_id}-mask.png")


@blueprint.post(
    "/<job_id>/cancel",
    summary="Cancel a job",
    description="A finished job stays as it is.",
    responses={200: JobView},
)
def cancel(path: JobPath) -> Response:
    parts = services()
    answer = parts.jobs.cancel(path.job_id, tenant())
    job = parts.records.get(path.job_id, tenant())
    if answer is CancelAnswer.CANCELED:
        count_end(job, job.status)
    return _answer(parts, job, 200)


@blueprint.delete(
    "/<job_id>",
    summary="Cancel a job and erase it",
    description="Erases its record, result, mask, and photo (unless another job uses the photo).",
    responses={204: None},
)
def erase(path: JobPath) -> Response:
    parts = services()
    erased = parts.records.erase(path.job_id, tenant())
    if erased is None:
        raise NotFound(f"no such job: {path.job_id}")
    try:
        parts.storage.delete([file for name in erased.files for file in keys.files_of(name)])
        parts.storage.put(keys.erased_key(tenant(), path.job_id), b"", "application/octet-stream")
    except StorageUnavailable:
        return Response(status=204)  # the record is erased, and the sweeper will delete the files
    if erased.settled:
        parts.jobs.swept(*erased.files)
    return Response(status=204)


def _waited(parts: Services, job_id: str, seconds: float) -> Job:
    """The job, after waiting for its end if asked to.

    Raises:
        Busy: too many callers are waiting.
    """
    if seconds > 0:
        with suppress(NotFound), parts.waiting.place(tenant()) as place:  # it may be archived
            return parts.waiting.wait(place, job_id, seconds)
    return parts.records.get(job_id, tenant())


def _finished(parts: Services, job_id: str, seconds: float) -> tuple[Job, bool]:
    """The job, after waiting as `Prefer` asks, and whether the preference was applied."""
    if seconds > 0:
        with suppress(Busy):  # a preference, which need not be applied
            return _waited(parts, job_id, seconds), True
    return parts.records.get(job_id, tenant()), False


def _preferred_wait() -> float:
    """The seconds of `Prefer: wait=N`; a header that cannot be parsed is ignored (RFC 7240)."""
    wish = _PREFER_WAIT.search(request.headers.get("Prefer", ""))
    return min(float(wish[1]), _LONGEST_WAIT) if wish else 0.0


def _succeeded(job_id: str) -> Job:
    job = services().records.get(job_id, tenant())
    if not job.is_terminal:
        raise NotFinished(f"the job is still {job.status.value}")
    if job.status is not Status.SUCCEEDED:
        raise NoResult(f"the job is {job.status.value}")
    return job


def _file(job: Job, name: str, content_type: str, filename: str) -> Response:
    storage = services().storage
    key = keys.attempt_key(job.tenant, job.id, job.claims, name)
    url = storage.presign_get(
        key, expires=_LINK_EXPIRY, content_type=content_type, filename=filename
    )
    if url is not None:
        response = make_response(redirect(url, 303))
        response.headers["Cache-Control"] = "no-store"
        return response
    return Response(
        read_file(storage, job, name),
        content_type=content_type,
        headers={
            "Content-Disposition": f'inline; filename="{filename}"',
            "Cache-Control": "private, max-age=3600, immutable",
        },
    )


def _answer(parts: Services, job: Job, status: int) -> Response:
    return json_answer(JobView.of(job, queue_position=parts.jobs.position(job)), status)
