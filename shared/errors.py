"""The errors that the service raises.

The tree (codes in brackets are what the API and a failed job report):

    ServiceError
    ├── CallerError                     the request must change before it can succeed
    │   ├── InvalidRequest              [invalid_request]
    │   ├── MalformedRequest            [malformed_request]
    │   ├── Unauthorized                [unauthorized]
    │   ├── HostNotAllowed              [host_not_allowed]
    │   ├── CrossSite                   [cross_site]
    │   ├── NotFound                    [not_found]
    │   ├── NotFinished                 [not_finished]
    │   ├── NoResult                    [no_result]
    │   ├── UploadSealed                [upload_sealed]
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
    │   ├── UploadQuota                 [upload_quota]
    │   ├── StorageUnavailable          [storage_unavailable]
    │   ├── UrlUnavailable              [url_unavailable]
    │   └── Busy                        [busy]
    ├── Poisoned                        [poisoned]
    ├── LeaseLost                       [lease_lost]           this worker no longer owns the job
    ├── CheckpointError                 [checkpoint]
    └── ConfigError                     [config]

A class carries its `code`, whether it is `retryable`, and its `default_message`: an attribute,
because `python -OO` removes docstrings. The message also says what the class means.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from shared.field_problem import FieldProblem


class ServiceError(Exception):
    code: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = False
    default_message: ClassVar[str] = "Something went wrong."

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self.default_message)

    @property
    def message(self) -> str:
        return str(self)


class CallerError(ServiceError):
    default_message = "The request cannot be served without changes."


class InvalidRequest(CallerError):
    code = "invalid_request"
    default_message = "The request has fields that are not valid."

    def __init__(self, message: str | None = None, fields: Sequence[FieldProblem] = ()) -> None:
        super().__init__(message)
        self.fields = tuple(fields)

    @classmethod
    def field(cls, field: str, message: str) -> InvalidRequest:
        """An error about one field."""
        return cls.of(FieldProblem(field, message))

    @classmethod
    def of(cls, problem: FieldProblem) -> InvalidRequest:
        """An error about one field, whose message names the field too."""
        return cls(str(problem), [problem])


class MalformedRequest(CallerError):
    code = "malformed_request"
    default_message = "The request body could not be read."


class Unauthorized(CallerError):
    code = "unauthorized"
    default_message = "A valid API key is required."


class HostNotAllowed(CallerError):
    code = "host_not_allowed"
    default_message = "This service does not answer for that host."


class CrossSite(CallerError):
    code = "cross_site"
    default_message = "A web page of another site may not call this service while it has no keys."


class NotFound(CallerError):
    code = "not_found"
    default_message = "There is nothing at this address."


class NotFinished(CallerError):
    code = "not_finished"
    default_message = "That job has not finished yet."


class NoResult(CallerError):
    code = "no_result"
    default_message = "That job finished without a result."


class UploadSealed(CallerError):
    code = "upload_sealed"
    default_message = "A job uses this upload, so it cannot be replaced; create another."


class IdempotencyMismatch(CallerError):
    code = "idempotency_mismatch"
    default_message = "This Idempotency-Key was used before with another request."


class ModelNotServed(CallerError):
    code = "model_not_served"
    default_message = "No worker serves that model."


class PromptInvalid(CallerError):
    code = "prompt_invalid"
    default_message = "The prompt does not fit the image."


class UrlForbidden(CallerError):
    code = "url_forbidden"
    default_message = "Connecting to that address is not allowed."


class UrlFailed(CallerError):
    code = "url_failed"
    default_message = "No image could be fetched from the URL."


class ImageError(CallerError):
    default_message = "The image cannot be used."


class ImageUnsupported(ImageError):
    code = "image_unsupported"
    default_message = "Not an image in a supported format (JPEG, PNG, WebP, AVIF, TIFF, BMP, GIF)."


class ImageInvalid(ImageError):
    code = "image_invalid"
    default_message = "The image is damaged or cut short."


class ImageTooLarge(ImageError):
    code = "image_too_large"
    default_message = "The image is larger than this service accepts."


class SegmentationError(ServiceError):
    default_message = "The subject could not be cut out."


class SubjectNotFound(SegmentationError):
    code = "subject_not_found"
    default_message = "No subject was found."


class SegmenterFailed(SegmentationError):
    code = "segmenter_failed"
    retryable = True
    default_message = "The segmenter failed."


class DeviceLost(SegmentationError):
    # After a CUDA fault the context fails every call: the process must exit.
    code = "device_lost"
    retryable = True
    default_message = "The worker's device failed; another worker takes the job."


class Unavailable(ServiceError):
    retryable = True
    default_message = "A service that Nukki depends on is not answering."


class QueueUnavailable(Unavailable):
    code = "queue_unavailable"
    default_message = "The job queue is not answering."


class QueueFull(Unavailable):
    code = "queue_full"
    default_message = "The job queue has no memory left for another job."


class TooManyJobs(Unavailable):
    code = "too_many_jobs"
    default_message = "Too many jobs are queued already."


class UploadQuota(Unavailable):
    code = "upload_quota"
    default_message = (
        "This API key's unused uploads fill its quota; use them in jobs or wait until they expire."
    )


class StorageUnavailable(Unavailable):
    code = "storage_unavailable"
    default_message = "The image storage is not answering."


class UrlUnavailable(Unavailable):
    code = "url_unavailable"
    default_message = "The URL's server is not answering."


class Busy(Unavailable):
    code = "busy"
    default_message = "Too many callers are waiting."


class Poisoned(ServiceError):
    code = "poisoned"
    default_message = "The job's worker died on every attempt."


class LeaseLost(ServiceError):
    code = "lease_lost"
    default_message = "This worker no longer owns the job."


class CheckpointError(ServiceError):
    code = "checkpoint"
    default_message = "A model's weights are not available."


class ConfigError(ServiceError):
    code = "config"
    default_message = "The configuration is not valid."
