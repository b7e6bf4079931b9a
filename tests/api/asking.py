"""Requests that several test modules make."""

from __future__ import annotations

from typing import Any

from tests.api.conftest import Client

URL = "https://example.com/photo.jpg"
#: The id of a job that does not exist.
NOBODY = "job_" + "0" * 24


def post(client: Client, **job: Any) -> Any:
    """Submit a job by its fields; `headers` go to the request."""
    headers = job.pop("headers", None)
    return client.post("/v1/jobs", json=job, headers=headers)


def post_body(client: Client, job: object, **kwargs: Any) -> Any:
    """Submit any JSON value."""
    return client.post("/v1/jobs", json=job, **kwargs)
