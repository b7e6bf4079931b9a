"""One API process on a Redis and a folder of its own, without workers."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from nukki.redis_server import free_port
from shared import processes
from shared.queue.connection import Connection
from shared.queue.jobs import JobQueue
from shared.queue.leases import LeaseTable

ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True, slots=True)
class Served:
    """A running server."""

    port: int
    pid: int
    log: Path
    connection: Connection

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def jobs(self) -> JobQueue:
        return JobQueue(self.connection, retention_ms=60_000)

    @property
    def leases(self) -> LeaseTable:
        """The worker's side of the queue."""
        return LeaseTable(self.connection, worker="test", lease_ms=60_000, retention_ms=60_000)


@contextmanager
def served(
    redis_url: str, folder: Path, argv: Sequence[str], env: Mapping[str, str]
) -> Iterator[Served]:
    """Run `python -m ARGV --port N` until the block ends.

    Raises:
        RuntimeError: it ended or did not answer within 30 s.
    """
    port, log = free_port(), folder / "api.log"
    given = {
        "REDIS_URL": redis_url,
        "NUKKI_STORAGE_DIR": str(folder / "storage"),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
    }
    with log.open("wb") as output:
        child = processes.spawn(
            [sys.executable, "-m", *argv, "--port", str(port)], env=given | dict(env), output=output
        )
    connection = Connection(redis_url)
    try:
        _await(f"http://127.0.0.1:{port}/health/live", child, log)
        yield Served(port, child.pid, log, connection)
    finally:
        connection.close()
        processes.stop(child, 10)


def _await(url: str, child: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and child.poll() is None:
        try:
            httpx.get(url, timeout=2, trust_env=False)
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"the server did not start: {log.read_text()[-2000:]}")
