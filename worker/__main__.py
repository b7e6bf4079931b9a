"""A worker process: it loads its model, warms it up and then serves jobs until SIGTERM."""

from __future__ import annotations

import argparse
import logging
import os
import socket
import threading
import time
from functools import partial
from typing import Any

import cv2
import numpy as np
from celery import Celery, Task, signals

from shared import metrics
from shared.errors import StorageUnavailable
from shared.guard import Guard
from shared.images.encode import encode
from shared.metrics.worker import watch_in_flight
from shared.outbound import Outbound
from shared.queue.connection import Connection
from shared.queue.doorbell import QUEUES, TASK, Doorbell, LaneCycle, make_celery
from shared.queue.leases import LeaseTable
from shared.queue.workers import WorkerInfo, WorkerRoll
from shared.schema import OutputFormat, Prompt
from shared.settings import WorkerSettings
from shared.startup import starting
from shared.storage import open_storage
from worker import segmenters
from worker.decoding import Decoders
from worker.engine import Ask, Engine, InFlightLimit
from worker.heartbeat import Heartbeat
from worker.job import outcome, pipeline
from worker.job.bulk_limit import BulkLimit
from worker.job.fetch_slots import FetchSlots
from worker.job.threads import JobThreads
from worker.runtime import Runtime
from worker.segmenters import Segmenter

log = logging.getLogger("nukki.worker")

#: The exit status after the device has failed. The launcher starts another process.
DEVICE_LOST = 76
_LAST_WORDS = 0.5


def main(argv: list[str] | None = None) -> int:
    """Serve jobs until SIGTERM; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m worker",
        description="Run one worker process. `python -m worker.launcher` starts one per GPU and "
        "restarts those that die.",
    )
    parser.add_argument(
        "--name",
        default=f"worker@{socket.gethostname()}",
        help="unique name of this worker (default: worker@ and the host's name)",
    )
    parser.add_argument("--ready-fd", type=int, help=argparse.SUPPRESS)  # set by the launcher
    options = parser.parse_args(argv)
    with starting(WorkerSettings) as settings:
        cv2.setNumThreads(1)  # jobs run in parallel instead
        metrics.serve(settings.metrics_port, settings.metrics_host)
        segmenter = segmenters.load(settings)
        threads = settings.worker_threads or _threads_for(segmenter)
        gate = BulkLimit(threads)
        celery = make_celery(settings, partial(LaneCycle, gate.is_open))
        me = WorkerInfo(options.name, segmenter.name, segmenter.device, threads)
        try:
            runtime = build(settings, celery, segmenter, me, JobThreads(gate))
        except StorageUnavailable as error:
            log.critical("%s", error)
            return 1  # starting again may help
    in_flight = runtime.pixels_in_flight
    watch_in_flight(lambda: in_flight.held, lambda: in_flight.limit)
    _register(celery, runtime, gate)
    _warm_up(runtime)
    runtime.heartbeat.start()
    if options.ready_fd is not None:
        os.write(options.ready_fd, b".")
        os.close(options.ready_fd)
    log.info("ready: %s", runtime.engine.model, extra={"worker": options.name})
    _consume(celery, options.name, threads)
    outcome.hand_back(runtime)  # what was claimed and waited for room
    runtime.heartbeat.stop()
    runtime.decoders.close()
    return 0


def _threads_for(segmenter: Segmenter) -> int:
    """Enough jobs for four batches: one on the device, one prepared, one coming, one leaving."""
    return min(64, max(8, 4 * segmenter.max_batch))


def _cores(settings: WorkerSettings) -> int:
    return settings.worker_cores or len(os.sched_getaffinity(0))


def build(
    settings: WorkerSettings,
    celery: Celery,
    segmenter: Segmenter,
    me: WorkerInfo,
    threads: JobThreads | None = None,
) -> Runtime:
    """Make and connect all parts of a worker; `threads` defaults to one per job that waited.

    Raises:
        StorageUnavailable: the local storage folder cannot be used.
    """
    connection = Connection(settings.redis_url)
    leases = LeaseTable(
        connection,
        worker=me.name,
        lease_ms=int(settings.lease * 1000),
        retention_ms=settings.retention_ms,
        record_ms=settings.record_ms,
    )
    lost = threading.Event()
    engine = Engine(
        segmenter,
        cache_bytes=int(settings.embedding_cache_mb * 1e6),
        on_device_lost=lost.set,
    )
    heartbeat = Heartbeat(
        leases,
        WorkerRoll(connection),
        me,
        lease_seconds=settings.lease,
        device_deadline=lambda: engine.busy_since + settings.stage_deadline,
    )
    runtime = Runtime(
        settings=settings,
        storage=open_storage(settings),
        leases=leases,
        doorbell=Doorbell(celery),
        outbound=Outbound(Guard(settings.allow_networks)),
        engine=engine,
        # A stage keeps its core while a decoder works for it, so there is one for each.
        decoders=Decoders(_cores(settings) + 1, patience=settings.stage_deadline * 0.75),
        heartbeat=heartbeat,
        threads=threads or JobThreads(BulkLimit(me.threads)),
        downloads=FetchSlots(me.threads // 2),
        reads=FetchSlots(me.threads // 2),
        pixels_in_flight=InFlightLimit(settings.pixels_in_hand, share=0.75),
        cores=InFlightLimit(_cores(settings) + 1),
    )
    threading.Thread(target=_leave_when, args=[lost, runtime], daemon=True).start()
    return runtime


def _leave_when(lost: threading.Event, runtime: Runtime) -> None:
    """Exit once the device is lost, since it will answer nothing any more."""
    lost.wait()
    time.sleep(_LAST_WORDS)  # its callers hand their jobs back themselves
    outcome.hand_back(runtime)
    os._exit(DEVICE_LOST)


def _warm_up(runtime: Runtime) -> None:
    """Cut a small photo, so that the first job does not wait for one-time initialization."""
    picture = np.full((64, 64, 3), 255, np.uint8)
    picture[16:48, 16:48] = (200, 30, 30)
    photo = runtime.decoders.photo(encode(picture, OutputFormat.PNG)).rgb
    click = Ask(Prompt(points=((32, 32),)))
    call = runtime.engine.prepare(photo, [click], digest="warm-up", urgent=True)
    runtime.engine.segment(call)
    runtime.engine.cache.drop("warm-up")


def _register(celery: Celery, runtime: Runtime, gate: BulkLimit) -> None:
    """Register the Celery task and what happens on SIGTERM."""

    @celery.task(name=TASK, bind=True)  # type: ignore[untyped-decorator]
    def run_job(task: Task, job_id: str) -> None:
        try:
            if (
                not runtime.draining.is_set()
            ):  # the job stays queued, and the janitor rings for it again
                pipeline.process(runtime, job_id)
        finally:
            gate.done(task.request.delivery_info)

    signals.task_received.connect(gate.received, weak=False)

    def on_ready(sender: Any, **_: Any) -> None:
        runtime.threads.attach(sender.pool)

    signals.worker_ready.connect(on_ready, weak=False)

    def on_shutting_down(**_: Any) -> None:
        runtime.draining.set()
        threading.Thread(target=_leave_in_time, args=[runtime], daemon=True).start()

    signals.worker_shutting_down.connect(on_shutting_down, weak=False)


def _leave_in_time(runtime: Runtime) -> None:
    """Limit how long Celery waits for its tasks, and then hand their jobs back."""
    deadline = time.monotonic() + runtime.settings.shutdown_grace
    while runtime.heartbeat.held():
        if time.monotonic() > deadline:
            outcome.hand_back(runtime)
            runtime.heartbeat.stop()
            os._exit(0)
        time.sleep(0.05)


def _consume(celery: Celery, name: str, threads: int) -> None:
    celery.worker_main(
        [
            "worker",
            "--pool=threads",
            f"--concurrency={threads}",
            f"--queues={','.join(QUEUES.values())}",
            f"--hostname={name}",
            "--without-gossip",
            "--without-mingle",
            "--without-heartbeat",
            "--loglevel=WARNING",
        ]
    )


if __name__ == "__main__":
    raise SystemExit(main())
