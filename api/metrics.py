"""`/metrics`: the requests of this process, and the queue in Redis."""

from __future__ import annotations

import os
import time

from flask import Flask, Response, g, request
from flask_openapi3 import APIBlueprint, Tag
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram, multiprocess
from prometheus_client.exposition import choose_encoder

from api.services import services
from shared.metrics.queue import QueueCollector
from shared.queue.lanes import DepthReader

HTTP_REQUESTS = Counter(
    "nukki_http_requests_total", "Requests answered", ["method", "route", "status"]
)
HTTP_SECONDS = Histogram(
    "nukki_http_request_seconds",
    "Time to answer a request, including any wait the caller asked for",
    ["method", "route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)

#: The `route` of a path that no rule matches, and the `method` of a nonstandard one.
_UNMATCHED, _OTHER = "unmatched", "other"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

metrics_blueprint = APIBlueprint(
    "metrics",
    __name__,
    abp_tags=[Tag(name="health", description="For load balancers and people on call.")],
)


def install(app: Flask) -> None:
    """Count every request of `app` by its URL rule: by path there would be one label per job."""

    @app.after_request
    def count(response: Response) -> Response:
        method = request.method if request.method in _METHODS else _OTHER
        route = request.url_rule.rule if request.url_rule else _UNMATCHED
        HTTP_REQUESTS.labels(method, route, str(response.status_code)).inc()
        HTTP_SECONDS.labels(method, route).observe(time.perf_counter() - g.begun)
        return response


@metrics_blueprint.get(
    "/metrics",
    summary="Prometheus metrics of the API",
    description="Prometheus' text format, or OpenMetrics on request. It also answers while Redis "
    "is down: then `nukki_up` is 0 and the queue's figures are missing.",
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
def metrics() -> Response:
    registry = CollectorRegistry()
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:  # several processes behind this port
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    else:
        registry.register(REGISTRY)
    registry.register(QueueCollector(DepthReader(services().connection)))
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return Response(encode(registry), content_type=content_type)
