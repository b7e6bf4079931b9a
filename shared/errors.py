"""Every error Nukki raises on purpose.

The tree (codes in brackets are what the API and a failed job report):

    ServiceError
    ├── CallerError                     the request must change before it can succeed
    │   ├── InvalidRequest              [invalid_request]
    │   ├── MalformedRequest            [malformed_request]
    │   ├── Unauthorized                [unauthorized]
    │   ├── NotFound                    [not_found]
    │   ├── NotFinished                 [not_finished]
    │   ├── NoResult                    [no_result]
    │   ├── IdempotencyMismatch         [idempotency_mismatch]
    │   ├── ModelNotServed              [model_not_served]
    │   ├── PromptInvalid               [prompt_invalid]
    │   ├── UrlForbidden                [url_forbidden]
    │   ├── UrlFailed                   [url_failed]
    │   └── ImageError
    │       ├── ImageUnsupported        [image_unsupported]
    │       ├── ImageInvalid            [image_invalid]
    │       └── ImageTooLarge           [image_too_large]
    ├── SegmentationError
    │   ├── SubjectNotFound             [subject_not_found]
    │   ├── SegmenterFailed             [segmenter_failed]     retryable
    │   └── DeviceLost                  [device_lost]          retryable, by another process
    ├── Unavailable                     retryable: the same call may succeed later
    │   ├── QueueUnavailable            [queue_unavailable]
    │   ├── QueueFull                   [queue_full]
    │   ├── TooManyJobs                 [too_many_jobs]
    │   ├── StorageUnavailable          [storage_unavailable]
    │   ├── UrlUnavailable              [url_unavailable]
    │   └── Busy                        [busy]
    ├── Poisoned                        [poisoned]
    ├── LeaseLost                       [lease_lost]           this worker no longer owns the job
    ├── CheckpointError                 [checkpoint]
    └── ConfigError                     [config]

A class carries its `code` and whether it is `retryable`; its docstring is its default message.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One field that is wrong: `field` is a dotted path such as `prompt.points.0`."""

    field: str
    message: str


class ServiceError(Exception):
    """Something went wrong."""

    code: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())

    @property
    def message(self) -> str:
        return str(self)


class CallerError(ServiceError):
    """The request cannot be served as it stands."""


class InvalidRequest(CallerError):
    """The request has fields that are not valid."""

    code = "invalid_request"

    def __init__(self, message: str | None = None, fields: Sequence[FieldProblem] = ()) -> None:
        super().__init__(message)
        self.fields = tuple(fields)

    @classmethod
    def field(cls, field: str, message: str) -> InvalidRequest:
        """The request is wrong in this one field."""
        return cls(f"{field}: {message}", [FieldProblem(field, message)])


class MalformedRequest(CallerError):
    """The request body could not be read."""

    code = "malformed_request"


class Unauthorized(CallerError):
    """A valid API key is required."""

    code = "unauthorized"


class NotFound(CallerError):
    """There is nothing here."""

    code = "not_found"


class NotFinished(CallerError):
    """That job has not finished yet."""

    code = "not_finished"


class NoResult(CallerError):
    """That job finished without a result."""

    code = "no_result"


class IdempotencyMismatch(CallerError):
    """This Idempotency-Key was used before with another request."""

    code = "idempotency_mismatch"


class ModelNotServed(CallerError):
    """No worker serves that model."""

    code = "model_not_served"


class PromptInvalid(CallerError):
    """The prompt does not fit the image."""

    code = "prompt_invalid"


class UrlForbidden(CallerError):
    """That address may not be connected to."""

    code = "url_forbidden"


class UrlFailed(CallerError):
    """The URL did not give an image."""

    code = "url_failed"


class ImageError(CallerError):
    """The image cannot be used."""


class ImageUnsupported(ImageError):
    """Not an image in a supported format (JPEG, PNG, WebP, AVIF, TIFF, BMP, GIF)."""

    code = "image_unsupported"


class ImageInvalid(ImageError):
    """The image is damaged or cut short."""

    code = "image_invalid"


class ImageTooLarge(ImageError):
    """The image is larger than this service accepts."""

    code = "image_too_large"


class SegmentationError(ServiceError):
    """The subject could not be cut out."""


class SubjectNotFound(SegmentationError):
    """No subject was found."""

    code = "subject_not_found"


class SegmenterFailed(SegmentationError):
    """The segmenter failed."""

    code = "segmenter_failed"
    retryable = True


class DeviceLost(SegmentationError):
    """The worker's device failed; the job goes to another."""

    # A CUDA context that has faulted answers nothing any more: the process must exit.
    code = "device_lost"
    retryable = True


class Unavailable(ServiceError):
    """A service this one depends on is not answering."""

    retryable = True


class QueueUnavailable(Unavailable):
    """The job queue is not answering."""

    code = "queue_unavailable"


class QueueFull(Unavailable):
    """The job queue has no room for another job."""

    code = "queue_full"


class TooManyJobs(Unavailable):
    """Too many jobs are queued already."""

    code = "too_many_jobs"


class StorageUnavailable(Unavailable):
    """The image storage is not answering."""

    code = "storage_unavailable"


class UrlUnavailable(Unavailable):
    """The URL's server is not answering."""

    code = "url_unavailable"


class Busy(Unavailable):
    """Every place for a waiting caller is taken."""

    code = "busy"


class Poisoned(ServiceError):
    """The job's worker died each time it was tried."""

    code = "poisoned"


class LeaseLost(ServiceError):
    """This worker no longer owns the job."""

    code = "lease_lost"


class CheckpointError(ServiceError):
    """A model's weights could not be had."""

    code = "checkpoint"


class ConfigError(ServiceError):
    """The configuration is not valid."""

    code = "config"
