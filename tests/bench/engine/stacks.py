"""The real stack for a measurement: started, waited for, and stopped on every path."""

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

#: Without a job's end for this long, something has failed.
_PATIENCE = 90.0
#: A simulated device that costs 300 ms a batch and 20 ms a photo, up to eight at once.
DEVICE_BOUND: Mapping[str, str] = {
    **simulated(batch_seconds=0.3, seconds=0.02),
    "NUKKI_MAX_BATCH": "8",
}
#: One that costs 5 ms a photo: the processors are what there is too little of.
PROCESSOR_BOUND: Mapping[str, str] = {
    **simulated(batch_seconds=0, seconds=0.005),
    "NUKKI_MAX_BATCH": "8",
}


class BenchFailed(RuntimeError):
    """A measurement did not run: no figure may come of it."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """A running stack, its store, and where its worker is."""

    stack: Stack
    store: Store
    metrics_port: int

    def worker(self) -> psutil.Process:
        """The worker under the stack's launcher."""
        children = psutil.Process(self.stack.pid("worker")).children()
        if len(children) != 1:
            raise BenchFailed(f"{len(children)} worker processes, and one was expected")
        return children[0]

    def sampled(self) -> Sampler:
        return Sampler(self.worker(), self.metrics_port)

    def retire_worker(self) -> None:
        """Stop the launcher and its worker: what is queued stays queued."""
        launcher = psutil.Process(self.stack.pid("worker"))
        launcher.terminate()
        launcher.wait(60)

    def drain(self) -> None:
        """Wait until no job is left.

        Raises:
            BenchFailed: none ended for a long time.
        """
        left, since = waiting(self.store), time.monotonic()
        while left:
            self.stack.watch(0.25)
            now = waiting(self.store)
            if now != left:
                left, since = now, time.monotonic()
            elif time.monotonic() - since > _PATIENCE:
                raise BenchFailed(f"{left} jobs wait and none has ended for {_PATIENCE:.0f} s")

    def succeeded(self, ids: Sequence[str]) -> list[Job]:
        """These jobs, all of which must have succeeded.

        Raises:
            BenchFailed: one did not.
        """
        found = records(self.store, ids)
        for job in found:
            if job.status is not Status.SUCCEEDED:
                error = job.outcome.error if job.outcome else None
                raise BenchFailed(f"{job.id} is {job.status.value}: {error}")
        return found


@contextmanager
def deployed(settings: Mapping[str, str], more: Mapping[str, str]) -> Iterator[Deployment]:
    """A stack on a folder of its own; `more` is what the caller of the bench set, and wins."""
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
