"""API server processes that share a port: the throughput of two against one.

    python -m tests.bench.processes [--share 0.2] [--requests 400]

With `--share`, each server process gets that share of a core, by a control group of its own; so the
cores stay free for Redis and the callers even on a small machine. It needs root.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from nukki.redis_server import find_server, free_port
from shared.testing import RedisProcess
from tests.bench.engine.load import Load
from tests.bench.engine.photos import jpegs
from tests.hostile.server import served

_PERIOD_US = 20_000
_CONNECTIONS = 8  # per server process
_CGROUPS = Path("/sys/fs/cgroup")


def main() -> None:
    """Measure the bare route and the submit on one and two processes, in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, help="share of a core for each server process")
    parser.add_argument("--requests", type=int, default=400, help="requests per process and round")
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    rates: dict[tuple[str, int], list[float]] = {}
    for _ in range(options.rounds):
        for route, argv in (("bare", "tests.bench.engine.bare_route"), ("submit", "api")):
            for count in (1, 2):
                rate = _rate(argv, count, options.share, options.requests)
                rates.setdefault((route, count), []).append(rate)
                print(f"{route:7} {count} processes  {rate:7.1f} requests/s", flush=True)
    mean = {key: sum(found) / len(found) for key, found in rates.items()}
    for route in ("bare", "submit"):
        print(f"{route}: 2 against 1 processes  {mean[route, 2] / mean[route, 1]:.2f}")
    for count in (1, 2):
        print(f"submit_ratio on {count}  {mean['submit', count] / mean['bare', count]:.2f}")


def _rate(argv: str, count: int, share: float | None, requests: int) -> float:
    path = "store" if "bare" in argv else "v1/jobs"
    with (
        tempfile.TemporaryDirectory() as folder,
        RedisProcess(find_server(), free_port()) as redis,
        served(redis.url, Path(folder), [argv, "--processes", str(count)], {}) as server,
        contextlib.ExitStack() as stack,
    ):
        photo = Path(folder) / "photo.jpg"
        photo.write_bytes(jpegs(1.0)[0])
        url = f"{server.url}/{path}"
        Load.run(url, photo, 20 * count, _CONNECTIONS * count)  # first-time work
        for child in psutil.Process(server.pid).children():
            if share is not None:
                stack.enter_context(_throttled(child.pid, share))
        return Load.run(url, photo, requests * count, _CONNECTIONS * count).per_s


@contextlib.contextmanager
def _throttled(pid: int, share: float) -> Iterator[None]:
    """Hold a process to a share of a core while the block runs."""
    second = (_CGROUPS / "cgroup.controllers").exists()
    group = (_CGROUPS if second else _CGROUPS / "cpu") / f"nukki-bench-{pid}"
    group.mkdir()
    try:
        quota = int(share * _PERIOD_US)
        if second:
            (group / "cpu.max").write_text(f"{quota} {_PERIOD_US}")
        else:
            (group / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
            (group / "cpu.cfs_quota_us").write_text(str(quota))
        (group / "cgroup.procs").write_text(str(pid))
        yield
    finally:
        (group.parent / "cgroup.procs").write_text(str(pid))
        with contextlib.suppress(OSError):
            time.sleep(0.1)
            group.rmdir()


if __name__ == "__main__":
    main()
