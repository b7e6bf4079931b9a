"""A thread that samples the worker's metrics, memory and CPU time while it works."""

from __future__ import annotations

import http.client
import re
import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import psutil

from tests.bench.engine.arithmetic import Series, Window

#: Long enough that sampling costs under 1% of the machine.
INTERVAL = 0.5

RSS = "rss_bytes"
CPU = "process_cpu_seconds"
STAGE_CPU = "nukki_stage_cpu_seconds_total"
STAGE_WALL = "nukki_stage_seconds_sum"
DEVICE_BUSY = "nukki_device_busy_seconds_total"

_LINE = re.compile(r"^(nukki_\w+)(?:\{([^}]*)\})? (\S+)")
_STAGE = re.compile(r'stage="([^"]*)"')


class Sampler:
    """Samples one worker process until the `with` block ends."""

    def __init__(self, worker: psutil.Process, metrics_port: int) -> None:
        self._worker = worker
        self._port = metrics_port
        self._series: dict[str, Series] = {}
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._sample_on, name="sampler", daemon=True)

    def __enter__(self) -> Self:
        self._sample()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leaving.set()
        self._thread.join()
        if error is None:
            self._sample()

    def series(self, name: str) -> Series | None:
        """The samples of a metric; None if the worker has no such metric."""
        return self._series.get(name)

    def rate(self, name: str, window: Window) -> float | None:
        """A counter's increase per second; None if the worker has no such counter."""
        found = self._series.get(name)
        return None if found is None else found.rate(window)

    def stage_rates(self, name: str, window: Window) -> dict[str, float]:
        """A counter's increase per second by its label `stage`; empty if there is none."""
        return {
            label.group(1): series.rate(window)
            for key, series in sorted(self._series.items())
            if key.startswith(f"{name}{{") and (label := _STAGE.search(key))
        }

    def _sample_on(self) -> None:
        while not self._leaving.wait(INTERVAL):
            try:
                self._sample()
            except (OSError, http.client.HTTPException, psutil.Error):
                return  # the worker has exited; the code that waits for its jobs reports it

    def _sample(self) -> None:
        with self._worker.oneshot():
            spent = self._worker.cpu_times()
            found = {RSS: float(self._worker.memory_info().rss), CPU: spent.user + spent.system}
        found |= scrape(self._port)
        now = time.time()
        for name, value in found.items():
            series = self._series.setdefault(name, Series([], []))
            series.moments.append(now)
            series.values.append(value)


def scrape(port: int) -> Mapping[str, float]:
    """A process's metrics by name and labels, without histogram buckets."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    finally:
        connection.close()
    found = {}
    for line in text.splitlines():
        parts = _LINE.match(line)
        if parts is None or parts[1].endswith(("_bucket", "_created")):
            continue
        found[f"{parts[1]}{{{parts[2]}}}" if parts[2] else parts[1]] = float(parts[3])
    return found
