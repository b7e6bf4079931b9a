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
    │   ├── DecoderUnavailable          [decoder_unavailable]
    │   └── Busy                        [busy]
    ├── OutOfMemory                     [out_of_memory]        retryable, best by another process
    ├── Poisoned                        [poisoned]
    ├── LeaseLost                       [lease_lost]           this worker no longer owns the job
    ├── CheckpointError                 [checkpoint]
    └── ConfigError                     [config]

A class carries its `code`, whether it is `retryable`, and its `default_message`: an attribute,
because `python -OO` removes docstrings. The message also says what the class means.
"""

from __future__ import annotations

from shared.caller_errors import (  # noqa: F401  # the rest of the tree
    CallerError,
    CrossSite,
    HostNotAllowed,
    IdempotencyMismatch,
    ImageError,
    ImageInvalid,
    ImageTooLarge,
    ImageUnsupported,
    InvalidRequest,
    MalformedRequest,
    ModelNotServed,
    NoResult,
    NotFinished,
    NotFound,
    PromptInvalid,
    Unauthorized,
    UploadSealed,
    UrlFailed,
    UrlForbidden,
)
from shared.service_error import ServiceError


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


class DecoderUnavailable(Unavailable):
    code = "decoder_unavailable"
    default_message = "The process that decodes images is not answering."


class Busy(Unavailable):
    code = "busy"
    default_message = "Too many callers are waiting."


class OutOfMemory(ServiceError):
    # The machine's lack, not the photo's fault, for which see `worker.decoding.budget`.
    code = "out_of_memory"
    retryable = True
    default_message = "The machine had too little memory left for the job."


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
