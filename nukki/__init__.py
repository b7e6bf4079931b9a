"""Nukki, a self-hosted cutout service: the client, and the `nukki` command."""

from nukki.client import Client
from nukki.errors import (
    ApiError,
    Conflict,
    ConnectionFailed,
    Forbidden,
    InvalidRequest,
    JobFailed,
    NotFound,
    NukkiError,
    ServerError,
    TooLarge,
    Unauthorized,
    Unavailable,
    WaitTimeout,
)
from nukki.job import Job, JobError

__all__ = [
    "ApiError",
    "Client",
    "Conflict",
    "ConnectionFailed",
    "Forbidden",
    "InvalidRequest",
    "Job",
    "JobError",
    "JobFailed",
    "NotFound",
    "NukkiError",
    "ServerError",
    "TooLarge",
    "Unauthorized",
    "Unavailable",
    "WaitTimeout",
]
