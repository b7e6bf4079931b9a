"""Reads a submitted job from a multipart or JSON request."""

from __future__ import annotations

import re
from typing import Any, BinaryIO, cast

from flask import request
from pydantic import ValidationError

from api import problems
from api.submission import Submission
from shared.errors import InvalidRequest, MalformedRequest
from shared.schema import JobRequest
from shared.settings import ApiSettings

#: Limit in bytes on a request's fields, without its image.
MAX_FIELD_BYTES = 16 * 1024 * 1024
_IDEMPOTENCY_KEY = re.compile(r"^[\x21-\x7e]{1,255}$")

_JOB = {"$ref": "#/components/schemas/JobRequest"}
#: The body of `POST /v1/jobs` in OpenAPI.
REQUEST_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["image"],
                "properties": {
                    "image": {"type": "string", "format": "binary", "description": "The photo."},
                    "job": _JOB,
                },
            },
            "encoding": {"job": {"contentType": "application/json"}},
        },
        "application/json": {"schema": _JOB},
    },
}

#: The headers that `POST /v1/jobs` reads, in OpenAPI.
REQUEST_HEADERS: list[dict[str, Any]] = [
    {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "Within 24 hours, the same request with the same key returns the same job.",
        "schema": {"type": "string", "maxLength": 255},
    },
    {
        "name": "Prefer",
        "in": "header",
        "description": "`wait=N`: wait up to N seconds (at most 60); 200 if the job ends in time.",
        "schema": {"type": "string", "example": "wait=30"},
    },
]


def read_submission(settings: ApiSettings, tenant: str, key: str | None) -> Submission:
    """The current request as a submission.

    Raises:
        MalformedRequest: neither multipart nor JSON.
        InvalidRequest: fields that do not validate.
    """
    image: BinaryIO | None = None
    if request.mimetype == "multipart/form-data":
        image = image_part("job")
        parsed = _parse(_job_part())
    elif request.is_json:
        parsed = _parse(request.get_data(cache=False))
    else:
        raise MalformedRequest("send multipart/form-data or application/json")
    return Submission(tenant, parsed, base_url(settings), image, key)


def image_part(*beside: str) -> BinaryIO | None:
    """The multipart request's `image` file, at its start; `beside` names its other parts.

    Raises:
        InvalidRequest: unknown parts, or several images.
    """
    parts = ("image", *beside)
    unknown = (set(request.files) | set(request.form)) - set(parts)
    if unknown:
        raise InvalidRequest.field(min(unknown), f"unknown part; the parts are {', '.join(parts)}")
    if "image" in request.form:
        raise InvalidRequest.field("image", "must be a file: give the part a filename")
    files = request.files.getlist("image")
    if len(files) > 1:
        raise InvalidRequest.field("image", "give one image per job")
    return cast(BinaryIO, files[0].stream) if files else None


def _job_part() -> bytes:
    """The `job` part, sent as a field or as a file."""
    if "job" in request.files:
        return request.files["job"].stream.read(MAX_FIELD_BYTES)
    return request.form.get("job", "{}").encode()


def _parse(text: bytes) -> JobRequest:
    try:
        parsed = JobRequest.model_validate_json(text, strict=True)  # "5" is not a number
    except ValidationError as error:
        if error.error_count() == 1:  # listing a million takes seconds
            first = error.errors(include_input=False, include_url=False)[0]
            if first["type"] == "json_invalid":
                raise MalformedRequest(f"the job is not JSON: {first['msg']}") from error
        raise problems.invalid(error) from error
    excess = parsed.excess()
    if excess is not None:
        raise InvalidRequest.of(excess)
    return parsed


def idempotency_key() -> str | None:
    """The request's `Idempotency-Key`."""
    key = request.headers.get("Idempotency-Key")
    if key is not None and not _IDEMPOTENCY_KEY.match(key):
        raise InvalidRequest.field("Idempotency-Key", "must be 1 to 255 visible ASCII characters")
    return key


def base_url(settings: ApiSettings) -> str:
    """The service's own address, as callers see it."""
    return (settings.public_url or request.url_root).rstrip("/")
