"""Errors that the caller's request must change for; import them from `shared.errors`."""

from __future__ import annotations

from collections.abc import Sequence

from shared.field_problem import FieldProblem
from shared.service_error import ServiceError


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
