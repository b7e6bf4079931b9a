"""Errors that the client raises.

NukkiError
├── ConnectionFailed        no answer from the server
├── ApiError                the server answered with a problem
│   ├── InvalidRequest      400, 415, 422: the request is wrong
│   ├── Unauthorized        401
│   ├── Forbidden           403, 421: the server does not answer for that address
│   ├── NotFound            404
│   ├── Conflict            409
│   ├── TooLarge            413
│   ├── Unavailable         429, 503: try again after `retry_after` seconds
│   └── ServerError         any other status
├── JobFailed               the job failed or was canceled
└── WaitTimeout             the job had not finished in time
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nukki.job import Job


class NukkiError(Exception):
    """Base class of the client's errors."""


class ConnectionFailed(NukkiError):
    """No answer from the server."""


class ApiError(NukkiError):
    """The server answered with a problem.

    Attributes:
        status: the HTTP status.
        code: the problem's code, for programs.
        request_id: identifies the request in the server's log.
        fields: `(field, message)` for each field that is wrong.
        retry_after: seconds to wait before trying again, if the server named a time.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str,
        request_id: str = "",
        fields: tuple[tuple[str, str], ...] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.request_id = request_id
        self.fields = fields
        self.retry_after = retry_after


class InvalidRequest(ApiError):
    """The request is wrong; sending it again gives the same answer."""


class Unauthorized(ApiError):
    """A valid API key is required."""


class Forbidden(ApiError):
    """The server does not answer for the address it was called by."""


class NotFound(ApiError):
    """There is no such job, or it is another tenant's."""


class Conflict(ApiError):
    """The job's state does not allow the call."""


class TooLarge(ApiError):
    """The image is too large."""


class Unavailable(ApiError):
    """The server cannot accept the request now."""


class ServerError(ApiError):
    """The server failed, or is not a Nukki server."""


class JobFailed(NukkiError):
    """The job failed or was canceled; `job.error` has the reason of a failure."""

    def __init__(self, job: Job) -> None:
        reason = f"{job.error.code}: {job.error.message}" if job.error else job.status
        super().__init__(f"{job.id}: {reason}")
        self.job = job


class WaitTimeout(NukkiError):
    """The job had not finished in time; it is still running."""

    def __init__(self, job: Job) -> None:
        super().__init__(f"{job.id} is still {job.status}")
        self.job = job


BY_STATUS: dict[int, type[ApiError]] = {
    400: InvalidRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    413: TooLarge,
    415: InvalidRequest,
    421: Forbidden,
    422: InvalidRequest,
    429: Unavailable,
    503: Unavailable,
}
