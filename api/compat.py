"""The call of the first version: photo and points in the request, the cutout in the answer."""

from __future__ import annotations

from flask import Response, request
from flask_openapi3 import APIBlueprint, Tag
from pydantic import ValidationError
from pydantic_core import from_json, to_json

from api import problems
from api.intake import base_url, idempotency_key, image_part
from api.keyring import SECURITY, tenant
from api.problems import STATUS_OF_CODE, problem_responses
from api.services import services
from api.submission import Submission, submit
from shared.errors import Busy, InvalidRequest, NoResult
from shared.job import Job, Status
from shared.schema import MAX_POINTS, JobRequest, Prompt
from shared.storage import keys
from shared.stored import read_file

_WAIT = 60.0

blueprint = APIBlueprint(
    "compat",
    __name__,
    abp_security=SECURITY,
    abp_tags=[
        Tag(
            name="compatible calls",
            description="Calls compatible with earlier versions and other services.",
        )
    ],
    abp_responses=problem_responses(401, 409, 413, 415, 422, 429, 503, 504),
)


@blueprint.post(
    "/background-removal/remove",
    summary="Cut out and return the PNG",
    description="The answer is the PNG. Without points, the subject is found automatically. The "
    "call waits at most 60 s, then answers 504; the job goes on, and `X-Job-Id` is its id.",
    responses={200: {"content": {"image/png": {}}}},
    openapi_extensions={
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {
                    "schema": {
                        "type": "object",
                        "required": ["image"],
                        "properties": {
                            "image": {"type": "string", "format": "binary"},
                            "points": {
                                "type": "string",
                                "description": "`[[x, y], …]` as text, in the photo's pixels.",
                                "example": "[[100, 200], [300, 400]]",
                            },
                        },
                    }
                }
            },
        }
    },
)
def remove() -> Response:
    parts = services()
    submission = Submission(
        tenant(),
        JobRequest(prompt=_prompt()),
        base_url(parts.settings),
        image_part("points"),
        idempotency_key(),
    )
    # A place before a job is made: this call has no other way to return it.
    with parts.waiting.place(tenant()) as place:
        accepted = submit(parts, submission)
        try:
            job = parts.waiting.wait(place, accepted.job_id, _WAIT)
        except Busy:  # the place was given away; the job goes on
            job = parts.records.get(accepted.job_id, tenant())
    return _answer(job)


def _prompt() -> Prompt:
    text = request.form.get("points") or "[]"
    if text.count("[") > MAX_POINTS + 1:  # parsing a million of them takes seconds
        raise InvalidRequest.field("points", f"at most {MAX_POINTS} points are taken")
    try:
        # Not by `json`: that raises RecursionError for deep nesting.
        return Prompt.model_validate_json(to_json({"points": from_json(text)}), strict=True)
    except ValidationError as error:
        raise problems.invalid(error) from error
    except ValueError as error:
        raise InvalidRequest.field("points", "must be a JSON array of [x, y]") from error


def _answer(job: Job) -> Response:
    if job.status is Status.SUCCEEDED:
        data = read_file(services().storage, job, keys.RESULT)
        response = Response(data, content_type="image/png")
    elif job.outcome is not None and job.outcome.error is not None:
        failure = job.outcome.error
        response = problems.problem(
            STATUS_OF_CODE.get(failure.code, 500), failure.code, failure.message
        )
    elif job.is_terminal:
        response = problems.problem(409, NoResult.code, f"the job was {job.status.value}")
    else:
        response = problems.problem(
            504, "not_finished", f"the job is still {job.status.value}; see /v1/jobs/{job.id}"
        )
    response.headers["X-Job-Id"] = job.id
    return response
