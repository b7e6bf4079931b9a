"""Throughput limited by the CPU: the engine and the naive worker, taking turns."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from statistics import fmean

import psutil

from shared import processes
from shared.schema import Edge, Output
from shared.storage import keys
from tests.bench.engine.arithmetic import bound, device_rate, rate, steady
from tests.bench.engine.naive import DONE, TASK, make_app
from tests.bench.engine.photos import ROOT, files, jpegs
from tests.bench.engine.stacks import PROCESSOR_BOUND, BenchFailed, Deployment, deployed
from tests.bench.engine.throughput import Throughput, cores, measure

_MEGAPIXELS = 2.0
#: The naive worker's output: a hard mask with the photo's own colours.
_ALIKE = Output(edge=Edge.HARD)
#: The naive worker takes half a second per photo, after importing torch.
_PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class ProcessorBound:
    """Photos per second of the engine, its bound and the naive worker.

    Attributes:
        engine: at the naive worker's own product, hard edges.
        matte: at the service's default, with alpha and colours estimated.
    """

    engine: Throughput
    matte: Throughput
    naive: float
    naive_our_codecs: float
    naive_every_core: float
    device_images_per_s: float
    bound_images_per_s: float

    @property
    def cpu_saturation(self) -> float:
        return self.engine.images_per_s / self.bound_images_per_s

    @property
    def vs_naive(self) -> float:
        return self.engine.images_per_s / self.naive

    @property
    def vs_naive_our_codecs(self) -> float:
        return self.engine.images_per_s / self.naive_our_codecs


def processor_bound(
    photos: int, photos_of_naive: int, rounds: int, more: Mapping[str, str]
) -> ProcessorBound:
    """Measure 2-megapixel photos on a device of 5 ms per photo; engine and baselines take turns."""
    engine: list[Throughput] = []
    matte: list[Throughput] = []
    naive: list[float] = []
    ours: list[float] = []
    every: list[float] = []
    with deployed(PROCESSOR_BOUND, more) as deployment:
        for _ in range(rounds):
            sent = photos // rounds
            engine.append(measure(deployment, files(_MEGAPIXELS, sent), output=_ALIKE))
            matte.append(measure(deployment, files(_MEGAPIXELS, sent // 2)))
            share = photos_of_naive // rounds
            naive.append(_naive(deployment, share, workers=1))
            ours.append(_naive(deployment, 2 * share, workers=1, our_codecs=True))
            every.append(_naive(deployment, share * cores(), workers=cores()))
    merged = Throughput.mean(engine)
    device = device_rate(
        int(PROCESSOR_BOUND["NUKKI_MAX_BATCH"]),
        float(PROCESSOR_BOUND["NUKKI_TEST_SIMULATED_BATCH_SECONDS"]),
        float(PROCESSOR_BOUND["NUKKI_TEST_SIMULATED_SECONDS"]),
    )
    return ProcessorBound(
        engine=merged,
        matte=Throughput.mean(matte),
        naive=fmean(naive),
        naive_our_codecs=fmean(ours),
        naive_every_core=fmean(every),
        device_images_per_s=device,
        bound_images_per_s=bound(device, cores(), merged.cpu_seconds),
    )


def _naive(deployment: Deployment, photos: int, *, workers: int, our_codecs: bool = False) -> float:
    """Photos per second of this many naive workers on the deployment's Redis and storage."""
    store, queue = deployment.store, f"bench.{uuid.uuid4().hex}"
    stored = [f"bench/{keys.input_key(queue, str(number))}" for number in range(7)]
    for key, data in zip(stored, cycle(jpegs(_MEGAPIXELS)), strict=False):
        store.storage.put(key, data, "image/jpeg")
    app = make_app(store.settings, queue)
    for key in islice(cycle(stored), photos):
        app.send_task(TASK, args=[key], queue=queue)
    with _workers(deployment, queue, workers, our_codecs) as running:
        done, deadline = DONE + queue, time.monotonic() + _PATIENCE
        while (count := store.connection.redis.llen(done)) < photos:
            if any(child.poll() is not None for child in running):
                raise BenchFailed(f"a naive worker has ended: {_last_words(deployment)}")
            if count == 0 and time.monotonic() > deadline:
                raise BenchFailed(f"none done in {_PATIENCE:.0f} s: {_last_words(deployment)}")
            time.sleep(0.2)
        moments = [float(item) for item in store.connection.redis.lrange(done, 0, -1)]
    return rate(steady(moments))


def _log(deployment: Deployment) -> Path:
    return deployment.stack.data / "logs" / "naive.log"


def _last_words(deployment: Deployment) -> str:
    return _log(deployment).read_text(errors="replace")[-2000:]


@contextmanager
def _workers(
    deployment: Deployment, queue: str, count: int, our_codecs: bool
) -> Iterator[Sequence[subprocess.Popen[bytes]]]:
    theirs = psutil.Process(deployment.stack.pid("api")).environ()
    path = os.pathsep.join([str(ROOT), *filter(None, [theirs.get("PYTHONPATH")])])
    argv = [sys.executable, "-m", "tests.bench.engine.naive", "--queue", queue]
    if our_codecs:
        argv.append("--our-codecs")
    log = _log(deployment).open("ab")
    env = theirs | {"PYTHONPATH": path}
    running: list[subprocess.Popen[bytes]] = []
    try:
        running.extend(processes.spawn(argv, env=env, output=log) for _ in range(count))
        yield running
    finally:
        for child in running:
            processes.stop(child, 10)
        log.close()
