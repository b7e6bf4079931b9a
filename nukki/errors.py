"""What a client may raise.

NukkiError
├── ConnectionFailed        no answer from the server
├── ApiError                the server answered with a problem
│   ├── InvalidRequest      400, 415, 422: the request must change
│   ├── Unauthorized        401
│   ├── NotFound            404
│   ├── Conflict            409
│   ├── TooLarge            413
│   ├── Unavailable         429, 503: try again after `retry_after` seconds
│   └── ServerError         any other status
├── JobFailed               the job ended without a result
└── WaitTimeout             the job had not ended in time
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nukki.job import Job


class NukkiError(Exception):
    """The root of everything a client raises."""


class ConnectionFailed(NukkiError):
    """No answer from the server."""


class ApiError(NukkiError):
    """The server answered with a problem.

    Attributes:
        status: the HTTP status.
        code: the problem's code, for programs.
        request_id: what to tell the operator.
        fields: `(field, message)` pairs of what is wrong.
        retry_after: seconds to wait before trying again, where the server said.
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
    """The request must change."""


class Unauthorized(ApiError):
    """A valid API key is required."""


class NotFound(ApiError):
    """There is no such job."""


class Conflict(ApiError):
    """The job is not in a state that allows it."""


class TooLarge(ApiError):
    """The image is too large."""


class Unavailable(ApiError):
    """The server cannot take it now."""


class ServerError(ApiError):
    """Something went wrong in the server."""


class JobFailed(NukkiError):
    """The job ended without a result; `job.error` says why."""

    def __init__(self, job: Job) -> None:
        reason = f"{job.error.code}: {job.error.message}" if job.error else job.status
        super().__init__(f"{job.id}: {reason}")
        self.job = job


class WaitTimeout(NukkiError):
    """The job had not ended in time; it goes on."""

    def __init__(self, job: Job) -> None:
        super().__init__(f"{job.id} is still {job.status}")
        self.job = job


BY_STATUS: dict[int, type[ApiError]] = {
    400: InvalidRequest,
    401: Unauthorized,
    404: NotFound,
    409: Conflict,
    413: TooLarge,
    415: InvalidRequest,
    422: InvalidRequest,
    429: Unavailable,
    503: Unavailable,
}
