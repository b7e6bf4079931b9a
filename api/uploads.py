"""`/v1/uploads`: clients upload large files directly to storage, past the API."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import Response, request
from flask_openapi3 import APIBlueprint, Tag
from pydantic import BaseModel, ConfigDict, Field

from api import bodies
from api.answers import json_answer
from api.intake import base_url
from api.keyring import SECURITY, tenant
from api.problems import problem_responses
from api.services import Services, services
from shared.errors import ImageTooLarge, InvalidRequest, NotFound, UploadSealed
from shared.job import new_id
from shared.storage import Grant, keys

blueprint = APIBlueprint(
    "uploads",
    __name__,
    url_prefix="/v1/uploads",
    abp_security=SECURITY,
    abp_tags=[Tag(name="uploads", description="Upload large photos directly to storage.")],
    abp_responses=problem_responses(400, 401, 413, 422, 429, 503),
)
#: Our own signed URLs, for storage in a local folder; they need no API key.
content_blueprint = APIBlueprint(
    "upload_content", __name__, url_prefix="/v1/uploads/content", doc_ui=False
)


class ContentPath(BaseModel):
    """A signed URL."""

    token: str


class UploadRequest(BaseModel):
    """The file to upload."""

    model_config = ConfigDict(extra="forbid", strict=True)

    bytes: int = Field(gt=0, description="The file's exact size; it is part of the signature.")
    content_type: str = Field(
        default="application/octet-stream", pattern=r"^[\w.+-]+/[\w.+-]+$", max_length=100
    )


class UploadView(BaseModel):
    """Where to send the file: `method` to `url` with exactly these `headers` by `expires_at`."""

    id: str = Field(description="Pass it as `upload` in a job.")
    method: str
    url: str
    headers: dict[str, str]
    expires_at: datetime


@blueprint.post("", summary="Get a URL to upload a photo to", responses={201: UploadView})
def create(body: UploadRequest) -> Response:
    parts = services()
    limit = parts.settings.max_bytes
    if body.bytes > limit:
        raise ImageTooLarge(f"{body.bytes:,} bytes; at most {limit:,} are accepted")
    parts.room.require()
    upload_id, expiry = new_id("inp"), parts.settings.upload_expiry
    signed = parts.storage.presign_put(
        keys.upload_key(tenant(), upload_id),
        expires=expiry,
        size=body.bytes,
        content_type=body.content_type,
        base_url=base_url(parts.settings),
    )
    # Kept twice as long as its URL is valid: one finished just in time is still usable.
    open_ms = int(1000 * expiry)
    swept_ms = parts.jobs.note_input(
        upload_id,
        tenant(),
        expiry_ms=2 * open_ms,
        open_ms=open_ms,
        size=body.bytes,
        quota=parts.settings.upload_quota,
    )
    view = UploadView(
        id=upload_id,
        method="PUT",
        url=signed.url,
        headers=dict(signed.headers),
        expires_at=datetime.fromtimestamp(swept_ms / 1000 - expiry, UTC),
    )
    return json_answer(view, 201)


@content_blueprint.put("/<token>")
def content(path: ContentPath) -> Response:
    parts = services()
    grant = parts.storage.redeem(path.token)
    if request.content_length != grant.size:
        raise InvalidRequest.field("Content-Length", f"{grant.size} bytes were signed for")
    _require_open(parts, grant)
    parts.room.require()
    bodies.expect(parts.bodies, grant.size + 1)  # its end is seen by reading on
    with bodies.spooled() as file:
        parts.storage.put(grant.key, file, request.content_type or "")
    _require_open(parts, grant)  # a job may have come during the transfer, and has other bytes
    return Response(status=200)


def _require_open(parts: Services, grant: Grant) -> None:
    """Refuse bytes for an upload that is gone, or that a job has named already.

    Raises:
        NotFound, UploadSealed: see above.
    """
    names = keys.read(keys.UPLOAD, grant.key)
    if names is None:  # signed by an older version, for the photo itself
        raise NotFound("this upload address is not valid any more")
    if parts.jobs.input(names["input"], names["tenant"]).sealed:
        raise UploadSealed
