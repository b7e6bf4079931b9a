"""A benchmark run: its counts, its sections in order, and their parts of the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.bench.engine import report
from tests.bench.engine.gpu import gpu_bound
from tests.bench.engine.interactive import interactive
from tests.bench.engine.memory import memory
from tests.bench.engine.picture import Bars, Stack
from tests.bench.engine.processor import processor_bound
from tests.bench.engine.sam_stack import SamBound, sam_bound
from tests.bench.engine.submit import submit
from tests.bench.engine.throughput import Throughput, device_bound


@dataclass(frozen=True, slots=True)
class Counts:
    """How many jobs and photos each section uses."""

    device: int  #: photos of the device-bound stack
    batch_1: int  #: photos of the same without batches
    processor: int  #: photos of the processor-bound stack, of all rounds
    naive: int  #: photos of the naive worker, of all rounds
    rounds: int  #: turns of engine and baselines
    sam: int  #: photos of the network on the CPU, of all rounds
    forward: int  #: photos of its bare forward, of each turn
    sam_rounds: int
    idle: int  #: interactive jobs on an idle stack
    busy: int  #: interactive jobs behind the bulk jobs
    bulk: int  #: bulk jobs that wait
    requests: int  #: submissions a round and taker
    submit_rounds: int
    queued: int  #: jobs in the full queue
    early: int  #: the worker's RSS is taken after so many jobs
    late: int  #: and again after so many
    memory_megapixels: float  #: of those jobs' photos
    large: int  #: large photos at once
    large_megapixels: float
    gpu: int = 400


FULL = Counts(
    device=400, batch_1=60, processor=400, naive=60, rounds=2, sam=32, forward=6, sam_rounds=2,
    idle=20, busy=20, bulk=1_000, requests=400, submit_rounds=4, queued=200_000,
    early=200, late=2_000, memory_megapixels=0.5, large=16, large_megapixels=50.0,
)  # fmt: skip
QUICK = Counts(
    device=144, batch_1=14, processor=100, naive=14, rounds=1, sam=8, forward=2, sam_rounds=1,
    idle=7, busy=7, bulk=200, requests=150, submit_rounds=2, queued=10_000,
    early=100, late=500, memory_megapixels=0.25, large=16, large_megapixels=6.0,
)  # fmt: skip


@dataclass(slots=True)
class Run:
    """The measurements so far.

    Attributes:
        counts: how many jobs and photos each section uses.
        more: settings of every stack, in addition to each section's own.
        summary: the ratios; None if not measured.
        details: everything else, for `engine.json`.
        bars: the picture's panels of throughput.
        stacks: the picture's bars of stages.
        stages: the printed tables of stages.
    """

    counts: Counts
    more: Mapping[str, str]
    summary: dict[str, float | None] = field(
        default_factory=lambda: dict.fromkeys(target.key for target in report.TARGETS)
    )
    details: dict[str, Any] = field(default_factory=dict)
    bars: list[Bars] = field(default_factory=list)
    stacks: list[Stack] = field(default_factory=list)
    stages: list[str] = field(default_factory=list)

    def device(self) -> str:
        """Throughput limited by the simulated device."""
        found = device_bound(self.counts.device, self.counts.batch_1, self.more)
        self.summary["saturation"] = found.saturation
        self.summary["vs_batch_1"] = found.vs_batch_1
        self.summary["device_busy"] = found.engine.device_busy
        self.details["device"] = {
            "engine": found.engine.as_json(),
            "batch_1": found.batch_1.as_json(),
            "device_images_per_s": found.device_images_per_s,
            "bound_images_per_s": found.bound_images_per_s,
        }
        self.bars.append(
            Bars(
                "device-bound: 300 ms a batch of 8\n+ 20 ms a photo, 1 megapixel",
                {
                    "batch 1": found.batch_1.images_per_s,
                    "engine": found.engine.images_per_s,
                    "bound": found.bound_images_per_s,
                },
            )
        )
        self._add_stages("device-bound", found.engine)
        return f"{found.engine.images_per_s:.1f} images/s of {found.bound_images_per_s:.1f}"

    def processor(self) -> str:
        """Throughput limited by the CPU, compared with the naive worker."""
        found = processor_bound(
            self.counts.processor, self.counts.naive, self.counts.rounds, self.more
        )
        self.summary["cpu_saturation"] = found.cpu_saturation
        self.summary["vs_naive"] = found.vs_naive
        self.summary["vs_naive_our_codecs"] = found.vs_naive_our_codecs
        throughput = {
            "naive": found.naive,
            "naive,\nevery\ncore": found.naive_every_core,
            "naive,\nour\ncodecs": found.naive_our_codecs,
            "engine,\nmatte": found.matte.images_per_s,
            "engine": found.engine.images_per_s,
            "bound": found.bound_images_per_s,
        }
        self.details["processor"] = {
            "engine": found.engine.as_json(),
            "matte": found.matte.as_json(),
            "naive_images_per_s": found.naive,
            "naive_our_codecs_images_per_s": found.naive_our_codecs,
            "naive_every_core_images_per_s": found.naive_every_core,
            "device_images_per_s": found.device_images_per_s,
            "bound_images_per_s": found.bound_images_per_s,
        }
        self.bars.append(Bars("processor-bound: 5 ms a photo,\n2 megapixels", throughput))
        self._add_stages("processor-bound, hard edges", found.engine)
        self._add_stages("processor-bound, matte", found.matte)
        return ", ".join(
            f"{name} {value:.1f}".replace("\n", " ") for name, value in throughput.items()
        )

    def sam(self) -> str:
        """Throughput of hiera_tiny on the CPU."""
        found = sam_bound(
            "sam2.1_hiera_tiny",
            photos=self.counts.sam,
            photos_of_forward=self.counts.forward * self.counts.sam_rounds,
            rounds=self.counts.sam_rounds,
            megapixels=1.0,
            more=self.more,
        )
        self.summary["sam_cpu_saturation"] = found.saturation
        return self._add_sam("sam", "hiera_tiny on the CPU,\n1 megapixel", found)

    def gpu(self) -> str:
        """Throughput of base_plus in FP16, if there is a CUDA device."""
        found = gpu_bound(self.counts.gpu, self.more)
        if found is None:
            return "skipped: there is no CUDA device"
        told = self._add_sam("gpu", "base_plus FP16 on a GPU,\n2 megapixels", found)
        busy = found.engine.device_busy
        self.stages.append(report.table({report.GPU_BUSY.key: busy}, (report.GPU_BUSY,)))
        return told

    def interactive(self) -> str:
        """Latency of an interactive job behind bulk jobs."""
        counts = self.counts
        found = interactive(counts.idle, counts.busy, counts.bulk, self.more)
        self.summary["interactive_p95_ratio"] = found.p95_ratio
        self.details["interactive"] = found.as_json()
        return f"p95 {found.busy.p95_ms:.0f} ms, idle {found.idle.p95_ms:.0f} ms"

    def submit(self) -> str:
        """Submitting to the API, without workers."""
        counts = self.counts
        found = submit(counts.requests, counts.submit_rounds, counts.queued, self.more)
        self.summary["submit_ratio"] = found.ratio
        self.summary["submit_p99_drift"] = found.p99_drift
        self.summary["redis_bytes_per_job"] = found.redis_bytes_per_job
        known = self.details["submit"] = found.as_json()
        return (
            f"{known['empty_per_s']:.0f} requests/s, bare {known['bare_per_s']:.0f}; p99 "
            f"{known['empty_p99_ms']:.0f} ms, {known['full_p99_ms']:.0f} with {counts.queued} "
            f"queued; the generator took {known['generator_cpu_share']:.0%} of a CPU core"
        )

    def memory(self) -> str:
        """The worker's memory."""
        counts = self.counts
        found = memory(
            early=counts.early,
            late=counts.late,
            megapixels=counts.memory_megapixels,
            large=counts.large,
            large_megapixels=counts.large_megapixels,
            more=self.more,
        )
        self.summary["rss_drift"] = found.drift
        self.details["memory"] = found.as_json()
        bound = "no bound is documented"
        if found.documented is not None:
            kept = "under" if found.peak <= found.documented else "OVER"
            bound = f"{kept} the documented {found.documented / 1e6:.0f} MB"
        return (
            f"RSS {found.early / 1e6:.0f} MB after {counts.early}, {found.late / 1e6:.0f} after "
            f"{counts.late}; {found.large} × {found.megapixels:g} megapixels at once: peak "
            f"{found.peak / 1e6:.0f} MB, {found.peak_a_megapixel / 1e6:.1f} per megapixel; {bound}"
        )

    def _add_sam(self, key: str, title: str, found: SamBound) -> str:
        self.details[key] = {
            "model": found.model,
            "engine": found.engine.as_json(),
            "forward_images_per_s": found.forward_images_per_s,
            **found.described,
        }
        throughput = {
            "engine": found.engine.images_per_s,
            "bound: bare\nforward": found.forward_images_per_s,
        }
        self.bars.append(Bars(title, throughput))
        self._add_stages(found.model, found.engine)
        return f"{found.engine.images_per_s:.2f} images/s, bare {found.forward_images_per_s:.2f}"

    def _add_stages(self, name: str, measured: Throughput) -> None:
        self.stages.append(report.stages(name, measured))
        self.stacks.append(Stack(f"{name}, wall", measured.stage_ms))
        if measured.stage_cpu_ms:
            self.stacks.append(Stack(f"{name}, CPU", measured.stage_cpu_ms))


#: The sections, in the order of the report.
SECTIONS: Mapping[str, Callable[[Run], str]] = {
    "device": Run.device,
    "processor": Run.processor,
    "sam": Run.sam,
    "interactive": Run.interactive,
    "submit": Run.submit,
    "memory": Run.memory,
}
