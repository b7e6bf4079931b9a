"""The worker's memory: over thousands of jobs, and under sixteen large photos at once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from shared.settings import WorkerSettings
from tests.bench.engine.arithmetic import Window
from tests.bench.engine.photos import ROOT, files
from tests.bench.engine.sampler import RSS, Sampler
from tests.bench.engine.seeding import seed
from tests.bench.engine.stacks import PROCESSOR_BOUND, BenchFailed, Deployment, deployed

_STATED = re.compile(r"(\d+) bytes of memory per pixel")


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of the worker process.

    Attributes:
        early: RSS around the first count of jobs, while it works.
        late: RSS at the end of all jobs, while it works.
        drift: late over early, less 1.
        idle: RSS before the large photos.
        peak: the process's high-water mark after them.
        peak_a_megapixel: the bytes that the large photos added, per megapixel of all of them.
        documented: the bound that the README states for these settings; None if it states none.
    """

    early: float
    late: float
    drift: float
    idle: float
    peak: float
    large: int
    megapixels: float
    peak_a_megapixel: float
    documented: float | None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def memory(
    *,
    early: int,
    late: int,
    megapixels: float,
    large: int,
    large_megapixels: float,
    more: Mapping[str, str],
) -> Memory:
    """Measure RSS around the `early`-th and `late`-th job; then `large` big photos at once."""
    with deployed(PROCESSOR_BOUND, more) as deployment:
        first, last = _drift(deployment, early, late, megapixels)
        worker = deployment.worker()
        idle = worker.memory_info().rss
        # One picture with different comments: decoding and resizing 50 megapixels takes seconds.
        ids = seed(deployment.store, files(large_megapixels, large, limit=1))
        deployment.drain()
        deployment.succeeded(ids)
        if deployment.worker().pid != worker.pid:
            raise BenchFailed("the worker died of the large photos")
        peak = high_water(worker.pid)
    return Memory(
        early=first,
        late=last,
        drift=last / first - 1,
        idle=idle,
        peak=peak,
        large=large,
        megapixels=large_megapixels,
        peak_a_megapixel=(peak - idle) / (large * large_megapixels),
        documented=documented_bound(idle, more),
    )


def _drift(deployment: Deployment, early: int, late: int, megapixels: float) -> tuple[float, float]:
    """RSS from the `early`-th job over half as many more, and over as many at the end."""
    with deployment.sampled() as sampler:
        ids = seed(deployment.store, files(megapixels, late))
        deployment.drain()
    moments = sorted((job.finished_ms or 0) / 1000 for job in deployment.succeeded(ids))
    stretch = max(2, early // 2)
    windows = (
        Window(moments[early], moments[early + stretch]),
        Window(moments[-stretch], moments[-1]),
    )
    first, last = (_rss(sampler, window) for window in windows)
    return first, last


def _rss(sampler: Sampler, window: Window) -> float:
    series = sampler.series(RSS)
    if series is None:
        raise BenchFailed("no samples of the worker's memory")
    return median(series.within(window).values)


def high_water(pid: int) -> int:
    """The peak resident memory of a process in bytes: `VmHWM` of proc_pid_status(5)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "VmHWM":
            return int(value.split()[0]) * 1024
    raise BenchFailed(f"process {pid} has no VmHWM in /proc")


def documented_bound(idle: float, more: Mapping[str, str]) -> float | None:
    """The README's bound on a worker's memory, in bytes; None if it states none.

    The README states it as bytes per pixel in flight, on top of the `idle` worker's memory.
    """
    found = _STATED.search((ROOT / "README.md").read_text())
    if found is None:
        return None
    default = WorkerSettings.model_fields["megapixels_in_hand"].default
    in_hand = float(more.get("NUKKI_MEGAPIXELS_IN_HAND", default))
    return idle + float(found[1]) * in_hand * 1e6
