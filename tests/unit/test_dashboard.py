"""Checks the dashboard and Prometheus' targets against the metrics that exist."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY

import api.metrics
import shared.metrics.courier
import shared.metrics.jobs
import shared.metrics.worker
from shared.job import Lane
from shared.metrics.queue import QueueCollector
from shared.queue.lanes import LaneDepth, QueueDepth

COMPOSE = Path(__file__).parent.parent.parent / "compose"
GRAFANA = COMPOSE / "grafana"
DASHBOARD: dict[str, Any] = json.loads((GRAFANA / "dashboards" / "nukki.json").read_text())
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]

#: Labels that Prometheus itself and prometheus.yml add to every sample.
ADDED = {"job", "instance", "service"}
_METRIC = re.compile(r"\b(?:nukki|process|python)_[a-z_]+")
_GROUPING = re.compile(r"\bby \(([^)]*)\)")
_MATCHER = re.compile(r"\{([^}]*)\}")
_SHOWN = re.compile(r"\{\{(\w+)\}\}")


class _Reader:
    def read(self) -> QueueDepth:
        return QueueDepth({lane: LaneDepth(0, 0.0) for lane in Lane}, 0, 0, 0)


def _known() -> dict[str, set[str]]:
    """The name and labels of every sample that Prometheus can receive."""
    known: dict[str, set[str]] = {}
    for name, collector in REGISTRY._names_to_collectors.items():
        labels = set(getattr(collector, "_labelnames", ()))
        known[name] = labels | ({"le"} if name.endswith("_bucket") else set())
    for family in QueueCollector(_Reader()).collect():  # type: ignore[arg-type]
        for sample in family.samples:
            known[sample.name] = set(sample.labels)
    return known


#: Imported because each registers its process's metrics.
COUNTING = (api.metrics, shared.metrics.courier, shared.metrics.jobs, shared.metrics.worker)
KNOWN = _known()
TARGETS = [
    pytest.param(target["expr"], target["legendFormat"], id=f"{panel['title']} {target['refId']}")
    for panel in PANELS
    for target in panel["targets"]
]


@pytest.mark.parametrize(("expr", "legend"), TARGETS)
def test_panels_query_existing_metrics_and_labels(expr: str, legend: str) -> None:
    named = _METRIC.findall(expr)
    assert named or expr == "up"
    assert set(named) <= set(KNOWN), expr
    labels = set().union(*(KNOWN[name] for name in named)) | ADDED
    asked = {label.strip() for group in _GROUPING.findall(expr) for label in group.split(",")}
    for matcher in _MATCHER.findall(expr):
        asked |= {part.partition("=")[0].strip("!~ ") for part in matcher.split(",")}
    assert asked <= labels, expr
    assert set(_SHOWN.findall(legend)) <= labels, legend


@pytest.mark.parametrize(("expr", "legend"), TARGETS)
def test_counters_are_shown_as_rates(expr: str, legend: str) -> None:
    for name in _METRIC.findall(expr):
        if name.endswith(("_total", "_bucket", "_sum", "_count")):
            assert re.search(rf"rate\({name}(\{{[^}}]*\}})?\[\$__rate_interval\]\)", expr), name


def test_every_metric_is_on_the_dashboard() -> None:
    shown = {name for param in TARGETS for name in _METRIC.findall(str(param.values[0]))}
    families = {re.sub(r"_(bucket|sum|count|created|total)$", "", name) for name in shown}
    ours = {name for name in KNOWN if name.startswith("nukki_")}
    ours = {re.sub(r"_(bucket|sum|count|created|total)$", "", name) for name in ours}
    assert ours - families == set()


def test_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in PANELS:
        place = panel["gridPos"]
        cells = {
            (place["x"] + dx, place["y"] + dy)
            for dx in range(place["w"])
            for dy in range(place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)


def test_the_dashboard_queries_the_provisioned_source() -> None:
    (source,) = _yaml(GRAFANA / "provisioning" / "datasources" / "prometheus.yml")["datasources"]
    asked = {target["datasource"]["uid"] for panel in PANELS for target in panel["targets"]}
    assert asked | {panel["datasource"]["uid"] for panel in PANELS} == {source["uid"]}


def test_prometheus_scrapes_every_kind_of_process_on_its_port() -> None:
    config = _yaml(COMPOSE / "prometheus.yml")
    ports = {
        job["job_name"]: {found["port"] for found in job["dns_sd_configs"]}
        for job in config["scrape_configs"]
    }
    assert ports == {"api": {8000}, "worker": {9101}, "courier": {9102}}
    interval = config["global"]["scrape_interval"]
    (source,) = _yaml(GRAFANA / "provisioning" / "datasources" / "prometheus.yml")["datasources"]
    assert source["jsonData"]["timeInterval"] == interval


def _yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text())
