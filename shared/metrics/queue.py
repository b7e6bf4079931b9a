"""Metrics of the queue, read from Redis at each scrape; all API processes export the same."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from shared.errors import QueueUnavailable
from shared.queue.lanes import DepthReader, QueueDepth


class QueueCollector:
    """Reads the queue at each scrape; exports only `nukki_up` 0 if Redis is down."""

    def __init__(self, reader: DepthReader) -> None:
        self._reader = reader

    def collect(self) -> Iterable[Metric]:
        """Read everything in one call of Redis, within its connection's timeouts."""
        try:
            backlog = self._reader.read()
        except QueueUnavailable:
            backlog = None
        up = GaugeMetricFamily(
            "nukki_up", "Whether this part answers (1) or not (0)", labels=["part"]
        )
        up.add_metric(["redis"], 0 if backlog is None else 1)
        yield up
        if backlog is not None:
            yield from _families(backlog)


def _families(backlog: QueueDepth) -> Iterable[Metric]:
    depth = GaugeMetricFamily("nukki_queue_depth", "Jobs queued in a lane", labels=["lane"])
    oldest = GaugeMetricFamily(
        "nukki_queue_oldest_seconds",
        "How long the first job of a lane has waited; 0 if the lane is empty",
        labels=["lane"],
    )
    for lane, found in backlog.lanes.items():
        depth.add_metric([lane.value], found.depth)
        oldest.add_metric([lane.value], found.oldest_seconds)
    yield depth
    yield oldest
    yield GaugeMetricFamily(
        "nukki_jobs_unfinished", "Jobs queued or processing", value=backlog.unfinished
    )
    yield GaugeMetricFamily(
        "nukki_jobs_overdue",
        "Jobs that the janitor should have checked by now",
        value=backlog.overdue,
    )
    yield GaugeMetricFamily(
        "nukki_webhooks_pending",
        "Webhooks neither delivered, dead nor suspended",
        value=backlog.webhooks,
    )
