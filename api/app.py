"""The app factory."""

from __future__ import annotations

import json
import logging
import re
import time
from importlib.metadata import version
from typing import Any

from flask import Response, current_app, g, redirect, request
from flask_openapi3 import Info, OpenAPI
from flask_openapi3_redoc.plugins import RegisterPlugin as Redoc
from flask_openapi3_swagger.plugins import RegisterPlugin as Swagger
from werkzeug.wrappers import Response as BaseResponse

from api import bodies, compat, health, hosts, jobs, metrics, problems, uploads, webhooks
from api import services as parts
from api.intake import MAX_FIELD_BYTES
from api.keyring import presented_key
from api.services import Services
from shared.job import new_id
from shared.schema import JobRequest
from shared.settings import ApiSettings

log = logging.getLogger("nukki.api")

_REQUEST_ID = re.compile(r"^[A-Za-z0-9._-]{1,128}$")
_DESCRIPTION = (
    "Cuts subjects out of photos. Submit a job, then poll, long-poll or receive a webhook."
)


def create_app(settings: ApiSettings, services: Services | None = None) -> OpenAPI:
    """Make the WSGI app; it opens no connection before the first request."""
    app = OpenAPI(
        "api",
        info=Info(title="Nukki", version=version("nukki"), description=_DESCRIPTION),
        security_schemes={
            "key": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
            "bearer": {"type": "http", "scheme": "bearer"},
        },
        validation_error_model=problems.Problem,
        validation_error_callback=problems.raise_invalid,
        doc_ui=False,  # the documentation's routes are added below
    )
    app.config.update(
        MAX_CONTENT_LENGTH=settings.max_bytes + 2 * MAX_FIELD_BYTES,
        MAX_FORM_MEMORY_SIZE=MAX_FIELD_BYTES,
    )
    parts.install(app.extensions, services or Services.connect(settings))
    bodies.install(app)
    problems.install(app)
    _trace_requests(app)
    metrics.install(app)
    hosts.install(app, settings)
    for blueprint in (
        jobs.blueprint,
        uploads.blueprint,
        webhooks.blueprint,
        health.models_blueprint,
        compat.blueprint,
    ):
        app.register_api(blueprint)
        app.before_request_funcs.setdefault(blueprint.name, []).append(_identify)
    app.register_api(uploads.content_blueprint)
    app.register_api(health.health_blueprint)
    app.register_api(metrics.metrics_blueprint)
    _place_docs(app)
    return app


def _identify() -> None:
    """Find the caller's tenant, before the request's body is read."""
    g.tenant = parts.services().keyring.tenant(presented_key())
    with_photo = request.mimetype == "multipart/form-data"  # only that may be long
    most = current_app.config["MAX_CONTENT_LENGTH"] if with_photo else MAX_FIELD_BYTES
    bodies.expect(parts.services().bodies, most)


def _trace_requests(app: OpenAPI) -> None:
    """Give every request an id, return it with the answer, and log one line per request."""

    @app.before_request
    def begin() -> None:
        given = request.headers.get("X-Request-Id", "")
        g.request_id = given if _REQUEST_ID.match(given) else new_id("req")
        g.begun = time.perf_counter()

    @app.after_request
    def end(response: Response) -> Response:
        response.headers["X-Request-Id"] = g.request_id
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        log.debug(
            "%s %s %d in %.0f ms",
            request.method,
            request.path,
            response.status_code,
            (time.perf_counter() - g.begun) * 1000,
            extra={"request_id": g.request_id},
        )
        return response


def _place_docs(app: OpenAPI) -> None:
    """Serve OpenAPI at /openapi.json, Swagger UI at /docs and ReDoc at /redoc, without a CDN."""
    schema = JobRequest.model_json_schema(ref_template="#/components/schemas/{model}")
    definitions: dict[str, Any] = schema.pop("$defs", {})
    app.components_schemas.update(definitions | {"JobRequest": schema})
    for plugin in (Swagger, Redoc):
        app.register_blueprint(plugin.register(doc_url="openapi.json"))
    app.add_url_rule("/docs", "docs", app.view_functions["swagger.swagger"])

    document = json.dumps(_without_guesses(app.api_doc))

    @app.route("/openapi.json")
    def openapi() -> Response:
        return Response(document, content_type="application/json")

    @app.route("/")
    def home() -> BaseResponse:
        return redirect("/docs")


def _without_guesses(document: dict[str, Any]) -> dict[str, Any]:
    """The document without the 422 that flask-openapi3 adds to calls that take no parameters."""
    for path in document["paths"].values():
        for operation in path.values():
            guessed = operation["responses"].get("422", {}).get("content", {})
            if "application/json" in guessed:
                del operation["responses"]["422"]
    return document
