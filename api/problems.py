"""Errors as callers see them: RFC 9457 problems, and the HTTP status of each of our errors."""

from __future__ import annotations

import errno
import logging
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, NoReturn

from flask import Flask, Response, g, request
from pydantic import BaseModel, Field, ValidationError
from werkzeug.exceptions import HTTPException

from shared import errors
from shared.errors import InvalidRequest, MalformedRequest, NotFound, ServiceError
from shared.field_problem import FieldProblem
from shared.model import REFUSED

log = logging.getLogger("nukki.api")

HTTP_STATUS: Mapping[type[ServiceError], int] = {
    errors.InvalidRequest: 422,
    errors.MalformedRequest: 400,
    errors.Unauthorized: 401,
    errors.HostNotAllowed: 421,
    errors.CrossSite: 403,
    errors.NotFound: 404,
    errors.NotFinished: 409,
    errors.NoResult: 409,
    errors.UploadSealed: 409,
    errors.IdempotencyMismatch: 422,
    errors.ModelNotServed: 422,
    errors.PromptInvalid: 422,
    errors.UrlForbidden: 422,
    errors.UrlFailed: 422,
    errors.ImageUnsupported: 415,
    errors.ImageInvalid: 422,
    errors.ImageTooLarge: 413,
    errors.SubjectNotFound: 422,
    errors.SegmenterFailed: 500,
    errors.DeviceLost: 500,
    errors.QueueUnavailable: 503,
    errors.QueueFull: 503,
    errors.TooManyJobs: 429,
    errors.UploadQuota: 429,
    errors.StorageUnavailable: 503,
    errors.UrlUnavailable: 502,
    errors.DecoderUnavailable: 503,
    errors.OutOfMemory: 503,
    errors.Busy: 503,
    errors.Poisoned: 500,
}

#: HTTP status of a failed job's code, for the synchronous calls.
STATUS_OF_CODE: Mapping[str, int] = {error.code: status for error, status in HTTP_STATUS.items()}

_RETRY_AFTER = "2"
#: What the system says when a disk, a quota, the memory or the descriptors are used up.
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.ENOMEM, errno.EMFILE, errno.ENFILE})
#: More errors than this are only counted: pydantic takes seconds to list a million.
_MOST_LISTED = 1000


class FieldError(BaseModel):
    """One field that is wrong."""

    field: str = Field(description="A dotted path, such as `prompt.points.0`.")
    message: str


class Problem(BaseModel):
    """An RFC 9457 problem, with a `code` for programs and the request's id."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: list[FieldError] = []


def problem_responses(*statuses: int) -> dict[Any, Any]:
    """OpenAPI responses for the problems of a call."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {"application/problem+json": {"schema": schema}},
        }
        for status in statuses
    }


def problem(status: int, code: str, detail: str, fields: tuple[FieldProblem, ...] = ()) -> Response:
    """The answer to a request that failed."""
    content = Problem(
        type=f"urn:nukki:error:{code}",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        code=code,
        request_id=g.get("request_id", ""),
        errors=[FieldError(field=item.field, message=item.message) for item in fields],
    )
    response = Response(
        content.model_dump_json(exclude_defaults=True),
        status=status,
        content_type="application/problem+json",
    )
    if status in {429, 503}:
        response.headers["Retry-After"] = _RETRY_AFTER
    if status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def invalid(error: ValidationError, prefix: str = "") -> InvalidRequest:
    """Convert pydantic's errors to ours; each names its field and never repeats its value."""
    if error.error_count() > _MOST_LISTED:
        return InvalidRequest.field(prefix or "body", f"{error.error_count():,} fields are wrong")
    fields = []
    for item in error.errors(include_input=False, include_url=False):
        path = [prefix] if prefix else []
        path += [str(part) for part in item["loc"]]
        message = item["msg"]
        if item["type"] == "extra_forbidden":
            message = "unknown field"
        if item["type"] == REFUSED and (own := item["ctx"]["field"]) is not None:
            path.append(own)
        fields.append(FieldProblem(".".join(path)[:200] or "body", message))
    first = f"{fields[0].field}: {fields[0].message}"
    more = f" (and {len(fields) - 1} more)" if len(fields) > 1 else ""
    return InvalidRequest(first + more, fields[:20])


def raise_invalid(error: ValidationError) -> NoReturn:
    """flask-openapi3's hook for parameters that do not validate."""
    if error.error_count() == 1:
        only = error.errors(include_input=False, include_url=False)[0]
        if only["loc"] and only["loc"][0] in (request.view_args or {}):
            raise NotFound  # the wrong parameter is part of the path
        if only["type"] == "model_type" and request.get_json(silent=True) is None:
            raise MalformedRequest("send a JSON object as application/json")
    raise invalid(error)


def install(app: Flask) -> None:
    """Answer every error of `app` with a problem."""

    @app.errorhandler(ServiceError)
    def _(error: ServiceError) -> Response:
        status = HTTP_STATUS.get(type(error), 500)
        log.log(
            logging.ERROR if status == 500 else logging.INFO,
            "%s: %s",
            error.code,
            error,
            extra={"request_id": g.get("request_id", "")},
        )
        fields = error.fields if isinstance(error, InvalidRequest) else ()
        return problem(status, error.code, error.message, fields)

    @app.errorhandler(HTTPException)
    def _(error: HTTPException) -> Response:
        status = error.code or 500
        code = re.sub(
            r"[^a-z]+", "_", error.name.lower()
        )  # the phrase differs between Python versions
        response = problem(status, code, error.description or HTTPStatus(status).phrase)
        for name, value in error.get_headers():
            if name.lower() in {"allow", "retry-after"}:
                response.headers[name] = value
        return response

    @app.errorhandler(Exception)
    def _(error: Exception) -> Response:
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            log.warning("no room to receive a request: %s", error.strerror)
            told = "the server has no room for this request; try again"
            return problem(503, errors.Busy.code, told)
        log.error("unexpected", exc_info=error, extra={"request_id": g.get("request_id", "")})
        return problem(500, "internal", "internal error; see the service's log")
