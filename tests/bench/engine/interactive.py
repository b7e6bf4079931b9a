"""Latency of interactive jobs, on an idle stack and behind a thousand bulk jobs."""

from __future__ import annotations

import http.client
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Self
from urllib.parse import urlsplit

from tests.bench.engine.arithmetic import percentile
from tests.bench.engine.multipart import Form
from tests.bench.engine.photos import files
from tests.bench.engine.seeding import records, seed, waiting
from tests.bench.engine.stacks import DEVICE_BOUND, BenchFailed, Deployment, deployed

_MEGAPIXELS = 1.0
#: Warm-up jobs, not counted, because they include one-time work.
_FIRST = 2


@dataclass(frozen=True, slots=True)
class Waits:
    """Milliseconds from creation to finish, from the jobs' records."""

    median_ms: float
    p95_ms: float
    count: int

    @classmethod
    def of(cls, spent: list[float]) -> Self:
        return cls(median(spent), percentile(spent, 0.95), len(spent))


@dataclass(frozen=True, slots=True)
class Interactive:
    """Latencies on an idle and on a busy stack; `bulk_left` jobs were still queued at the end."""

    idle: Waits
    busy: Waits
    bulk_left: int

    @property
    def p95_ratio(self) -> float:
        """The ratio of the p95 behind bulk jobs to the p95 on an idle stack."""
        return self.busy.p95_ms / self.idle.p95_ms

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {
            "p95_over_idle_p95": self.p95_ratio,
            "p95_over_idle_median": self.busy.p95_ms / self.idle.median_ms,
            "median_over_idle_median": self.busy.median_ms / self.idle.median_ms,
        }


def interactive(idle: int, busy: int, bulk: int, more: Mapping[str, str]) -> Interactive:
    """Submit one job at a time over HTTP; the device takes 300 ms per batch and 20 ms per photo."""
    photos = files(_MEGAPIXELS, _FIRST + idle + busy)
    with deployed(DEVICE_BOUND, more) as deployment:
        _waits(deployment, photos, _FIRST)
        before = Waits.of(_waits(deployment, photos, idle))
        seed(deployment.store, files(_MEGAPIXELS, bulk))
        after = Waits.of(_waits(deployment, photos, busy))
        left = waiting(deployment.store)
    if left <= busy:
        raise BenchFailed(f"only {left} bulk jobs were left, so the stack was not busy")
    return Interactive(before, after, left)


def _waits(deployment: Deployment, photos: Iterator[bytes], count: int) -> list[float]:
    """Submit jobs one after another, waiting for each to finish."""
    address = urlsplit(deployment.stack.url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=90)
    ids = []
    try:
        for photo in itertools.islice(photos, count):
            form = Form.of_photo(photo)
            connection.request("POST", "/v1/jobs", form.body, {**form.headers, "Prefer": "wait=60"})
            answer = connection.getresponse()
            text = answer.read()
            if answer.status != 200:
                raise BenchFailed(f"an interactive job was answered {answer.status}: {text!r}")
            ids.append(json.loads(text)["id"])
    finally:
        connection.close()
    deployment.succeeded(ids)
    return [
        float((job.finished_ms or 0) - job.created_ms) for job in records(deployment.store, ids)
    ]
