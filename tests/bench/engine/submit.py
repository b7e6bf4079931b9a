"""Submitting jobs, against a bare route that stores the same bytes, and with a full queue."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

import psutil

from nukki.redis_server import free_port
from shared import processes
from tests.bench.engine.arithmetic import percentile
from tests.bench.engine.load import Load
from tests.bench.engine.photos import ROOT, jpegs
from tests.bench.engine.seeding import Store, seed_bare, waiting
from tests.bench.engine.stacks import BenchFailed, Deployment, deployed
from tests.simulated import simulated

_CONNECTIONS = 8
_PATIENCE = 60.0
#: The worker is stopped before anything is submitted, so its speed does not matter.
_SETTINGS = simulated()


@dataclass(slots=True)
class Submit:
    """Loads on the bare route, an empty queue and a full one, taken in turn."""

    bare: list[Load] = field(default_factory=list)
    empty: list[Load] = field(default_factory=list)
    full: list[Load] = field(default_factory=list)
    queued: int = 0
    redis_bytes_per_job: float = 0.0

    @property
    def ratio(self) -> float:
        """The requests per second of `POST /v1/jobs`, divided by the bare route's."""
        return fmean(load.per_s for load in self.empty) / fmean(load.per_s for load in self.bare)

    @property
    def p99_drift(self) -> float:
        """The relative increase of the p99 with a full queue against an empty one."""
        return _p99(self.full) / _p99(self.empty) - 1

    def as_json(self) -> dict[str, Any]:
        loads = {"bare": self.bare, "empty": self.empty, "full": self.full}
        return {
            "queued": self.queued,
            "requests_a_round": len(self.bare[0].requests),
            "connections": _CONNECTIONS,
            "generator_cpu_share": fmean(load.cpu_share for load in self.empty),
            **{
                f"{name}_per_s": fmean(load.per_s for load in rounds)
                for name, rounds in loads.items()
            },
            **{f"{name}_p99_ms": 1000 * _p99(rounds) for name, rounds in loads.items()},
        }


def _p99(loads: list[Load]) -> float:
    return percentile([item for load in loads for item in load.requests], 0.99)


def submit(requests: int, rounds: int, queued: int, more: Mapping[str, str]) -> Submit:
    """Measure the bare route and two stacks without workers, one queue full, one empty."""
    found = Submit(queued=queued)
    with (
        deployed(_SETTINGS, more) as empty,
        deployed(_SETTINGS, more) as full,
        _bare(empty) as bare_url,
    ):
        for deployment in (empty, full):
            deployment.retire_worker()
        found.redis_bytes_per_job = _fill(full.store, queued)
        photo = empty.stack.data / "photo.jpg"
        photo.write_bytes(jpegs(1.0)[0])
        takers = (
            (bare_url, found.bare),
            (f"{empty.stack.url}/v1/jobs", found.empty),
            (f"{full.stack.url}/v1/jobs", found.full),
        )
        for url, _ in takers:
            Load.run(url, photo, 2 * _CONNECTIONS, _CONNECTIONS)  # first-time work
        for _ in range(rounds):
            for url, loads in takers:
                loads.append(Load.run(url, photo, requests, _CONNECTIONS))
        if waiting(full.store) < queued:
            raise BenchFailed("the full queue was being emptied")
    return found


def _fill(store: Store, count: int) -> float:
    """Queue this many jobs; returns the bytes of Redis per job, message included."""
    redis = store.connection.redis
    seed_bare(store, 1)  # loads the scripts and creates the sets
    before = int(redis.info("memory")["used_memory"])
    seed_bare(store, count)
    grown = int(redis.info("memory")["used_memory"]) - before
    deadline = time.monotonic() + _PATIENCE
    while int(redis.info("persistence")["aof_rewrite_in_progress"]):  # it would slow the load
        if time.monotonic() > deadline:
            raise BenchFailed("Redis is still rewriting its file")
        time.sleep(0.2)
    return grown / count


@contextlib.contextmanager
def _bare(deployment: Deployment) -> Iterator[str]:
    """Run the bare route on the deployment's storage; yields its address."""
    port = free_port()
    env = psutil.Process(deployment.stack.pid("api")).environ()
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), env.get("PYTHONPATH")]))
    argv = [sys.executable, "-m", "tests.bench.engine.bare_route", "--port", str(port)]
    log: Path = deployment.stack.data / "logs" / "bare.log"
    with log.open("ab") as output:
        child = processes.spawn(argv, env=env, output=output)
    try:
        _await(f"http://127.0.0.1:{port}/", child)
        yield f"http://127.0.0.1:{port}/store"
    finally:
        processes.stop(child, 10)


def _await(url: str, child: Any) -> None:
    """Wait until the address answers any status."""
    deadline, opener = time.monotonic() + _PATIENCE, build_opener(ProxyHandler({}))
    while time.monotonic() < deadline and child.poll() is None:
        try:
            opener.open(url, timeout=5)
        except URLError as error:
            if getattr(error, "code", None) == 404:
                return
            time.sleep(0.05)
    raise BenchFailed("the bare route did not start")
