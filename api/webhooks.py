"""`/v1/webhooks/deliveries`: list webhooks and their answers, and send one again."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Self

from flask import Response
from flask_openapi3 import APIBlueprint, Tag
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from api.answers import json_answer
from api.keyring import SECURITY, tenant
from api.problems import problem_responses
from api.services import services
from shared.queue.deliveries import DeliveryState
from shared.queue.delivery_log import DeliveryPage, DeliveryRecord, Try
from shared.schema import Event, JobId
from shared.view import View, moment

DeliveryId = Annotated[str, StringConstraints(pattern=r"^msg_[0-9a-f]{24}(_review)?$")]

blueprint = APIBlueprint(
    "webhooks",
    __name__,
    url_prefix="/v1/webhooks/deliveries",
    abp_security=SECURITY,
    abp_tags=[Tag(name="webhooks", description="Webhooks sent and the answers to them.")],
    abp_responses=problem_responses(401, 404, 422, 503),
)


class DeliveryPath(BaseModel):
    """The delivery's id."""

    delivery_id: DeliveryId


class DeliveryQuery(BaseModel):
    """Which deliveries to list."""

    model_config = ConfigDict(extra="forbid")

    job: JobId | None = Field(default=None, description="Only deliveries about this job.")
    state: DeliveryState | None = Field(default=None, description="Only deliveries in this state.")
    limit: int = Field(default=50, ge=1, le=200)
    cursor: DeliveryId | None = Field(default=None, description="`next` of the previous page.")


class TryView(View):
    """One try and its answer, or the reason there was none."""

    at: datetime
    status: int | None = Field(description="The HTTP status; null if there was no answer.")
    error: str | None
    duration_ms: int

    @classmethod
    def of(cls, item: Try) -> Self:
        return cls(
            at=moment(item.began_ms),
            status=item.status,
            error=item.error,
            duration_ms=item.took_ms,
        )


class DeliveryView(View):
    """A webhook message. It is kept, and can be replayed, as long as its job is."""

    id: str = Field(description="The `webhook-id` of every try.")
    event: Event
    job: str
    url: str
    state: DeliveryState = Field(
        description="`pending`; `delivered`: answered 2xx; `dead`: every try failed; `suspended`: "
        "the URL answered 410 Gone, and gets nothing more until a delivery to it is replayed."
    )
    created_at: datetime
    next_attempt_at: datetime | None = Field(
        description="Time of the next try; null while a try is running and after the last one."
    )
    attempts: list[TryView] = Field(description="The last twenty tries, oldest first.")

    @classmethod
    def of(cls, record: DeliveryRecord) -> Self:
        return cls(
            id=record.id,
            event=Event(record.event),
            job=record.job_id,
            url=record.url,
            state=record.state,
            created_at=moment(record.created_ms),
            next_attempt_at=moment(record.due_ms) if record.due_ms is not None else None,
            attempts=[TryView.of(item) for item in record.tries],
        )


class DeliveryPageView(View):
    """A page of deliveries, newest first."""

    deliveries: list[DeliveryView]
    next: str | None = Field(description="The cursor of the next page; null at the end.")


@blueprint.get("", summary="List this key's webhooks", responses={200: DeliveryPageView})
def index(query: DeliveryQuery) -> Response:
    page = _page(query)
    views = [DeliveryView.of(record) for record in page.deliveries]
    return json_answer(DeliveryPageView(deliveries=views, next=page.cursor))


@blueprint.get("/<delivery_id>", summary="Get a webhook", responses={200: DeliveryView})
def show(path: DeliveryPath) -> Response:
    return json_answer(DeliveryView.of(services().deliveries.get(path.delivery_id, tenant())))


@blueprint.post(
    "/<delivery_id>/replay",
    summary="Send a webhook again",
    description="Sends it at once, whatever its state, under the same `webhook-id`; later tries "
    "follow the schedule from its start. A suspended URL gets webhooks again from now on; other "
    "deliveries suspended with it must be replayed one by one. A try that is running is "
    "left to finish, and no second one starts.",
    responses={202: DeliveryView},
)
def replay(path: DeliveryPath) -> Response:
    return json_answer(
        DeliveryView.of(services().deliveries.replay(path.delivery_id, tenant())), 202
    )


def _page(query: DeliveryQuery) -> DeliveryPage:
    log = services().deliveries
    if query.job is None:
        return log.page(tenant(), limit=query.limit, cursor=query.cursor, state=query.state)
    found = [
        record for record in log.of_job(query.job, tenant()) if query.state in (None, record.state)
    ]
    return DeliveryPage(tuple(found), None)
