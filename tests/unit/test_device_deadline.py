"""The stage deadline bounds the device's work, not the wait for it; with a real Redis."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from shared.images.photo import Photo
from shared.job import Input, Job, new_id
from shared.queue.connection import Connection
from shared.queue.doorbell import make_celery
from shared.queue.jobs import JobQueue
from shared.queue.leases import Claim
from shared.queue.workers import WorkerInfo
from shared.schema import JobRequest, Prompt
from shared.settings import WorkerSettings
from shared.testing import RedisProcess
from tests.simulated import SimulatedSegmenter, Size
from worker.__main__ import build
from worker.engine import Ask
from worker.engine.progress import Progress
from worker.job.earlier import Earlier
from worker.job.run import Run
from worker.job.segmentation import Finding, segment
from worker.segmenters import Prediction, Question

#: Seconds; with a lease of 1 s there is a heartbeat every third of a second.
DEADLINE, LEASE = 0.6, 1.0
_BEAT = LEASE / 3


class Device(SimulatedSegmenter):
    """A device that takes `seconds` per photo, one by one, and hangs in the step named by `hangs`.

    `dies` ends its thread without answering the waiting callers.
    """

    def __init__(self, seconds: float = 0.0) -> None:
        super().__init__(seconds=seconds, max_batch=1)
        self.hangs: str | None = None
        self.dies = False
        self.over = threading.Event()

    def encode(self, photos: Sequence[Size]) -> list[Size]:
        if self.dies:
            raise SystemExit
        self._hang("encode")
        return super().encode(photos)

    def decode(self, questions: Sequence[Question]) -> list[Prediction]:
        self._hang("decode")
        return super().decode(questions)

    def _hang(self, step: str) -> None:
        if self.hangs == step:
            self.over.wait(30)


class Ward:
    """A worker that records a hang instead of exiting, and the jobs that arrive."""

    def __init__(self, redis: RedisProcess, connection: Connection, device: Device) -> None:
        self.jobs = JobQueue(connection, retention_ms=60_000)
        self.device = device
        self.hung_at: list[float] = []
        settings = WorkerSettings.load(redis_url=redis.url, stage_deadline=DEADLINE, lease=LEASE)
        me = WorkerInfo("worker@here", "simulated", "cpu", 8)
        self.runtime = build(settings, make_celery(settings), device, me)
        heartbeat: Any = self.runtime.heartbeat
        heartbeat._on_hung = lambda: self.hung_at.append(time.monotonic())
        self.findings: list[Finding] = []
        self.threads: list[threading.Thread] = []

    def come(self, count: int = 1) -> float:
        """Start this many callers, each on its own thread; returns the time of arrival."""
        came = time.monotonic()
        for _ in range(count):
            self.threads.append(threading.Thread(target=self._see_through, daemon=True))
            self.threads[-1].start()
        return came

    def _see_through(self) -> None:
        with self.runtime.heartbeat.holding(self._claim()) as lease:
            run = Run(self.runtime, lease)
            photo = Photo(np.zeros((40, 60, 3), np.uint8))
            self.findings.append(segment(run, photo, new_id("inp"), Earlier()))

    def _claim(self) -> Claim:
        photo = Input(new_id("inp"), "shop", stored=True, digest="d" * 64, bytes=3)
        self.jobs.note_input(photo.id, "shop", expiry_ms=60_000)
        request = JobRequest(prompt=Prompt(points=((1, 1),)))
        job = Job(new_id("job"), "shop", request, photo.id, "http://here")
        claim = self.runtime.leases.claim(self.jobs.accept(job, photo).job_id)
        assert claim is not None
        return claim

    def join(self) -> None:
        for thread in self.threads:
            thread.join(20)


@pytest.fixture
def device() -> Device:
    return Device()


@pytest.fixture
def ward(shared_redis: RedisProcess, connection: Connection, device: Device) -> Iterator[Ward]:
    made = Ward(shared_redis, connection, device)
    made.runtime.heartbeat.start()
    yield made
    device.over.set()
    if not device.dies:
        made.join()
    made.runtime.heartbeat.stop()


@pytest.mark.parametrize("device", [Device(seconds=0.25)])
def test_a_long_queue_of_slow_calls_is_not_a_hang(ward: Ward) -> None:
    came = ward.come(8)
    ward.join()
    assert time.monotonic() - came > 3 * DEADLINE
    assert len(ward.findings) == 8
    assert ward.hung_at == []


@pytest.mark.parametrize("step", ["encode", "decode"])
def test_a_call_that_hangs_ends_the_worker_in_time(ward: Ward, device: Device, step: str) -> None:
    device.hangs = step
    came = ward.come()
    time.sleep(DEADLINE + 2 * _BEAT)
    assert ward.hung_at
    assert DEADLINE < ward.hung_at[0] - came < DEADLINE + 1.5 * _BEAT


def test_a_steady_stream_of_callers_does_not_hide_a_hang(ward: Ward, device: Device) -> None:
    device.hangs = "encode"
    came = ward.come()
    while time.monotonic() < came + DEADLINE + 2 * _BEAT:
        ward.come()
        time.sleep(0.05)
    assert ward.hung_at
    assert ward.hung_at[0] - came < DEADLINE + 1.5 * _BEAT


def test_a_hang_is_detected_though_no_caller_has_a_lease(ward: Ward, device: Device) -> None:
    """Otherwise the next job would wait forever."""
    device.hangs = "encode"
    engine = ward.runtime.engine
    ask = Ask(Prompt(points=((1, 1),)))
    call = engine.prepare(np.zeros((4, 4, 3), np.uint8), [ask], digest="d", urgent=False)
    ward.threads.append(threading.Thread(target=engine.segment, args=[call], daemon=True))
    ward.threads[-1].start()
    time.sleep(DEADLINE + 2 * _BEAT)
    assert ward.hung_at


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_device_whose_thread_is_dead_ends_the_worker_too(ward: Ward, device: Device) -> None:
    device.dies = True
    came = ward.come(3)
    time.sleep(DEADLINE + 2 * _BEAT)
    assert ward.hung_at
    assert ward.hung_at[0] - came < DEADLINE + 1.5 * _BEAT


def test_an_idle_device_is_not_busy_and_its_clock_restarts(ward: Ward) -> None:
    for _ in range(2):
        ward.come()
        ward.join()
        assert ward.runtime.engine.busy_since == float("inf")
        time.sleep(DEADLINE + 2 * _BEAT)
    assert ward.hung_at == []


@pytest.mark.parametrize("device", [Device(seconds=0.3)])
def test_it_is_busy_since_its_current_batch_began(ward: Ward) -> None:
    came = ward.come(4)
    time.sleep(0.7)  # the third photo's turn
    assert 0.5 < ward.runtime.engine.busy_since - came < 0.75


def test_its_clock_runs_from_the_first_waiting_call() -> None:
    """It runs whether or not a thread takes the queued calls."""
    progress = Progress()
    progress.move()
    time.sleep(0.1)
    with progress.awaited():
        first = progress.since
        assert time.monotonic() - first < 0.05
        with progress.awaited():
            assert progress.since == first
        assert progress.since == first
    assert progress.since == float("inf")
