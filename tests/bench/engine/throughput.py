"""Photos per second through the whole stack, and the time per stage."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean
from typing import Any, Self

from shared.job import Job
from shared.schema import Output, Prompt
from tests.bench.engine.arithmetic import Window, bound, device_rate, rate, steady
from tests.bench.engine.photos import files
from tests.bench.engine.sampler import CPU, DEVICE_BUSY, STAGE_CPU, STAGE_WALL, Sampler
from tests.bench.engine.seeding import seed
from tests.bench.engine.stacks import DEVICE_BOUND, Deployment, deployed

#: The stages of a photo in the worker; a job's timings contain others too.
_STAGES = ("fetch", "decode", "encode", "segment", "compose", "store")


@dataclass(frozen=True, slots=True)
class Throughput:
    """A steady period of work.

    Attributes:
        images_per_s: finished jobs a second.
        photos: how many the stretch held.
        stage_ms: wall milliseconds a photo by stage.
        stage_cpu_ms: processor milliseconds a photo by stage, as the worker counts them; empty
            where it does not.
        process_cpu_ms: processor milliseconds a photo of the whole worker process.
        device_busy: the device's share of the time, 0..1; None where the worker does not count.
    """

    images_per_s: float
    photos: int
    stage_ms: Mapping[str, float] = field(default_factory=dict)
    stage_cpu_ms: Mapping[str, float] = field(default_factory=dict)
    process_cpu_ms: float = math.nan
    device_busy: float | None = None

    @classmethod
    def of(cls, jobs: Sequence[Job], sampler: Sampler, lead: float, trail: float) -> Self:
        """Build from finished jobs' records and the samples of the same period."""
        moments = steady([(job.finished_ms or 0) / 1000 for job in jobs], lead, trail)
        window = Window(moments[0], moments[-1])
        images_per_s = rate(moments)
        walls = sampler.stage_rates(STAGE_WALL, window) or _recorded(jobs, images_per_s)
        spent = sampler.stage_rates(STAGE_CPU, window)
        return cls(
            images_per_s=images_per_s,
            photos=len(moments),
            stage_ms=_per_photo(walls, images_per_s),
            stage_cpu_ms=_per_photo(spent, images_per_s),
            process_cpu_ms=1000 * (sampler.rate(CPU, window) or math.nan) / images_per_s,
            device_busy=sampler.rate(DEVICE_BUSY, window),
        )

    @classmethod
    def mean(cls, rounds: Sequence[Throughput]) -> Self:
        """Merge several rounds into one."""
        busy = [item.device_busy for item in rounds if item.device_busy is not None]
        return cls(
            images_per_s=fmean(item.images_per_s for item in rounds),
            photos=sum(item.photos for item in rounds),
            stage_ms=_means([item.stage_ms for item in rounds]),
            stage_cpu_ms=_means([item.stage_cpu_ms for item in rounds]),
            process_cpu_ms=fmean(item.process_cpu_ms for item in rounds),
            device_busy=fmean(busy) if busy else None,
        )

    @property
    def cpu_seconds(self) -> float:
        """CPU time summed over stages; of the whole process if stages are not counted."""
        summed = sum(self.stage_cpu_ms.values()) if self.stage_cpu_ms else self.process_cpu_ms
        return summed / 1000

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def _means(rounds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for item in rounds for name in item)
    return {name: fmean(item.get(name, 0.0) for item in rounds) for name in names}


def _per_photo(rates: Mapping[str, float], images_per_s: float) -> dict[str, float]:
    """Milliseconds per photo by stage, in order, from seconds per second."""
    return {name: 1000 * rates[name] / images_per_s for name in _STAGES if name in rates}


def _recorded(jobs: Sequence[Job], images_per_s: float) -> dict[str, float]:
    """Seconds per second by stage from the jobs' timings, for a worker without metrics."""
    timings = [job.outcome.timings_ms for job in jobs if job.outcome]
    return {name: value / 1000 * images_per_s for name, value in _means(timings).items()}


def measure(
    deployment: Deployment,
    photos: Iterable[bytes],
    *,
    prompt: Prompt | None = None,
    output: Output | None = None,
    lead: float = 0.15,
    trail: float = 0.1,
) -> Throughput:
    """Queue the photos, wait for all, and measure the steady period."""
    with deployment.sampled() as sampler:
        ids = seed(deployment.store, photos, prompt=prompt, output=output)
        deployment.drain()
    return Throughput.of(deployment.succeeded(ids), sampler, lead, trail)


@dataclass(frozen=True, slots=True)
class DeviceBound:
    """Compare the engine with the device's own rate, and with itself without batching."""

    engine: Throughput
    batch_1: Throughput
    device_images_per_s: float
    bound_images_per_s: float

    @property
    def saturation(self) -> float:
        return self.engine.images_per_s / self.bound_images_per_s

    @property
    def vs_batch_1(self) -> float:
        return self.engine.images_per_s / self.batch_1.images_per_s


def cores() -> int:
    """The number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0))


def device_bound(photos: int, photos_of_batch_1: int, more: Mapping[str, str]) -> DeviceBound:
    """Measure 1-megapixel photos on a device of 300 ms per batch and 20 ms per photo."""
    with deployed(DEVICE_BOUND, more) as deployment:
        engine = measure(deployment, files(1.0, photos))
    with deployed(DEVICE_BOUND, {**more, "NUKKI_MAX_BATCH": "1"}) as deployment:
        batch_1 = measure(deployment, files(1.0, photos_of_batch_1))
    device = device_rate(
        int(DEVICE_BOUND["NUKKI_MAX_BATCH"]),
        float(DEVICE_BOUND["NUKKI_TEST_SIMULATED_BATCH_SECONDS"]),
        float(DEVICE_BOUND["NUKKI_TEST_SIMULATED_SECONDS"]),
    )
    return DeviceBound(engine, batch_1, device, bound(device, cores(), engine.cpu_seconds))
