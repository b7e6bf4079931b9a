"""Nukki: a self-hosted cutout service. This package is its client and its command."""

from nukki.client import Client, Job, JobError
from nukki.errors import (
    ApiError,
    Conflict,
    ConnectionFailed,
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

__all__ = [
    "ApiError",
    "Client",
    "Conflict",
    "ConnectionFailed",
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
