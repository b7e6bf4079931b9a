"""Health, and the models served."""

from __future__ import annotations

from collections import defaultdict
from functools import partial

from flask import Response
from flask_openapi3 import APIBlueprint, Tag
from pydantic import BaseModel, Field

from api.answers import json_answer
from api.keyring import SECURITY
from api.problems import problem_responses
from api.services import Services, services
from shared.errors import Unavailable

health_blueprint = APIBlueprint(
    "health",
    __name__,
    url_prefix="/health",
    abp_tags=[Tag(name="health", description="For load balancers and people on call.")],
)
models_blueprint = APIBlueprint(
    "models",
    __name__,
    url_prefix="/v1/models",
    abp_security=SECURITY,
    abp_tags=[Tag(name="models", description="Models that the workers serve.")],
    abp_responses=problem_responses(401, 503),
)


class Health(BaseModel):
    """The state as a whole, and of each part: `ok`, or what is wrong."""

    status: str
    checks: dict[str, str] = {}


class ModelView(BaseModel):
    """A model that jobs can use now."""

    name: str
    workers: int = Field(description="Ready worker processes that serve it.")
    devices: list[str]


class ModelList(BaseModel):
    """The models served, by name."""

    models: list[ModelView]


@health_blueprint.get("/live", summary="Is this process alive?", responses={200: Health})
def live() -> Response:
    return json_answer(Health(status="ok"), 200)


@health_blueprint.get(
    "/ready",
    summary="Can a job be done now?",
    description="503 unless Redis and storage answer, storage has room, and a worker is ready.",
    responses={200: Health, 503: Health},
)
def ready() -> Response:
    parts = services()
    checks: dict[str, str] = {}
    for name, check in (("redis", parts.connection.ping), ("storage", partial(_storage, parts))):
        try:
            check()
            checks[name] = "ok"
        except Unavailable as error:
            checks[name] = error.message
    try:
        asked = (
            checks["redis"] == "ok"
        )  # not again if it failed: a hanging Redis costs a timeout each time
        present = parts.workers.present() if asked else None
        checks["worker"] = "unknown" if present is None else "ok" if present else "none is ready"
    except Unavailable:
        checks["worker"] = "unknown"
    good = all(state == "ok" for state in checks.values())
    return json_answer(
        Health(status="ok" if good else "not ready", checks=checks), 200 if good else 503
    )


def _storage(parts: Services) -> None:
    """Raise StorageUnavailable unless the storage answers and has room for more."""
    parts.storage.ping()
    parts.storage.require_room()


@models_blueprint.get("", summary="List the models served", responses={200: ModelList})
def models() -> Response:
    devices: dict[str, list[str]] = defaultdict(list)
    for worker in services().workers.present():
        devices[worker.model].append(worker.device)
    listed = [
        ModelView(name=name, workers=len(found), devices=sorted(set(found)))
        for name, found in sorted(devices.items())
    ]
    return json_answer(ModelList(models=listed), 200)
