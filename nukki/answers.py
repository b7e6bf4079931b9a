"""The server's HTTP answers, read as jobs and errors."""

from __future__ import annotations

from typing import Any

import httpx

from nukki.errors import BY_STATUS, ApiError, ServerError
from nukki.job import Job


def content_of(response: httpx.Response, *needed: str) -> dict[str, Any]:
    """The answer's JSON object, which must have at least the fields `needed`.

    Raises:
        ServerError: the answer is something else, so the server is not Nukki.
    """
    content = _json_object(response)
    if any(name not in content for name in needed):
        raise ServerError(
            f"{response.url.host} is not a Nukki server",
            status=response.status_code,
            code="unknown",
        )
    return content


def job_of(response: httpx.Response) -> Job:
    """The job in the answer.

    Raises:
        ServerError: the answer is something else, so the server is not Nukki.
    """
    return Job.of(content_of(response, "id", "status"))


def problem_of(response: httpx.Response) -> ApiError:
    """The error for an answer that is no success.

    An answer without our JSON, such as a proxy's error page, gives an error without details.
    """
    content = _json_object(response)
    fields = [item for item in content.get("errors", ()) if isinstance(item, dict)]
    kind = BY_STATUS.get(response.status_code, ServerError)
    retry_after = response.headers.get("Retry-After", "")
    return kind(
        content.get("detail") or f"the server answered {response.status_code}",
        status=response.status_code,
        code=content.get("code", "unknown"),
        request_id=response.headers.get("X-Request-Id", ""),
        fields=tuple((item.get("field", ""), item.get("message", "")) for item in fields),
        retry_after=float(retry_after) if retry_after.isdigit() else None,
    )


def _json_object(response: httpx.Response) -> dict[str, Any]:
    """The answer's JSON object; empty if the answer is not one."""
    try:
        content = response.json()
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}
