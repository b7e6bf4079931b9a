"""Starts the real stack for a measurement, and always stops it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from nukki.redis_server import free_port
from nukki.stack import Stack
from shared.job import Job, Status
from shared.settings import StackSettings
from tests.bench.engine.sampler import Sampler
from tests.bench.engine.seeding import Store, records, waiting
from tests.simulated import simulated

#: Seconds without a finished job after which a measurement fails.
_PATIENCE = 90.0
#: A simulated device of 300 ms per batch and 20 ms per photo, up to eight photos at once.
DEVICE_BOUND: Mapping[str, str] = {
    **simulated(batch_seconds=0.3, seconds=0.02),
    "NUKKI_MAX_BATCH": "8",
}
#: A simulated device of 5 ms per photo, so that the CPU is the bottleneck.
PROCESSOR_BOUND: Mapping[str, str] = {
    **simulated(batch_seconds=0, seconds=0.005),
    "NUKKI_MAX_BATCH": "8",
}


class BenchFailed(RuntimeError):
    """A measurement failed, so it has no figure."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """A running stack, its store and its worker."""

    stack: Stack
    store: Store
    metrics_port: int

    def worker(self) -> psutil.Process:
        """The worker process of the stack's launcher."""
        children = psutil.Process(self.stack.pid("worker")).children()
        if len(children) != 1:
            raise BenchFailed(f"{len(children)} worker processes instead of one")
        return children[0]

    def sampled(self) -> Sampler:
        return Sampler(self.worker(), self.metrics_port)

    def retire_worker(self) -> None:
        """Stop the launcher and its worker; queued jobs stay queued."""
        launcher = psutil.Process(self.stack.pid("worker"))
        launcher.terminate()
        launcher.wait(60)

    def drain(self) -> None:
        """Wait until no job is left.

        Raises:
            BenchFailed: no job finished for too long.
        """
        left, since = waiting(self.store), time.monotonic()
        while left:
            self.stack.watch(0.25)
            now = waiting(self.store)
            if now != left:
                left, since = now, time.monotonic()
            elif time.monotonic() - since > _PATIENCE:
                raise BenchFailed(f"{left} jobs are left and none finished in {_PATIENCE:.0f} s")

    def succeeded(self, ids: Sequence[str]) -> list[Job]:
        """The records of these jobs, all of which must have succeeded.

        Raises:
            BenchFailed: a job did not succeed.
        """
        found = records(self.store, ids)
        for job in found:
            if job.status is not Status.SUCCEEDED:
                error = job.outcome.error if job.outcome else None
                raise BenchFailed(f"{job.id} is {job.status.value}: {error}")
        return found


@contextmanager
def deployed(settings: Mapping[str, str], more: Mapping[str, str]) -> Iterator[Deployment]:
    """Run a stack in its own folder; `more`, set on the command line, takes precedence."""
    port = free_port()
    overrides = {
        "NUKKI_LOG_LEVEL": "WARNING",
        "NUKKI_METRICS_PORT": str(port),
        **settings,
        **more,
    }
    with (
        tempfile.TemporaryDirectory(prefix="nukki-bench-") as folder,
        Stack(Path(folder), overrides=overrides, say=lambda _line: None) as stack,
    ):
        theirs = psutil.Process(stack.pid("api")).environ()
        store = Store.of(
            StackSettings.load(
                redis_url=theirs["REDIS_URL"], storage_dir=Path(theirs["NUKKI_STORAGE_DIR"])
            )
        )
        try:
            yield Deployment(stack, store, port)
        finally:
            store.close()
