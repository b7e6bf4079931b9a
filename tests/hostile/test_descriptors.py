"""Processes that run out of file descriptors: they wait for better times, without spinning."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import httpx
import psutil
import pytest

from nukki.redis_server import free_port
from shared import processes
from worker.launcher.devices import Place
from worker.launcher.supervisor import Launcher

SERVER = """
import os, resource, sys
from shared.metrics import serve
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
serve(int(sys.argv[1]), "127.0.0.1")
print("up", flush=True)
for line in sys.stdin:
    if line == "take\\n":
        held = []
        try:
            while True:
                held.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            pass
    else:
        for handle in held: os.close(handle)
    print("done", flush=True)
"""


class Metrics:
    """A process that serves metrics and can use up its own descriptors."""

    def __init__(self) -> None:
        self.port = free_port()
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(self.port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.process.stdout.readline()

    def tell(self, word: str) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()
        self.process.stdout.readline()

    def scrape(self) -> int:
        return httpx.get(f"http://127.0.0.1:{self.port}/metrics", timeout=10).status_code

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)


@pytest.fixture
def metrics() -> Iterator[Metrics]:
    metrics = Metrics()
    yield metrics
    with metrics.process as process:
        process.kill()


def test_a_metrics_port_without_descriptors_rests_and_recovers(metrics: Metrics) -> None:
    metrics.tell("take")
    callers = [metrics.connect() for _ in range(8)]
    watched = psutil.Process(metrics.process.pid)
    before, began = sum(watched.cpu_times()[:2]), time.monotonic()
    time.sleep(2)
    spent = (sum(watched.cpu_times()[:2]) - before) / (time.monotonic() - began)
    assert spent < 0.4  # a spinning loop takes a whole core
    for caller in callers:
        caller.close()
    metrics.tell("give")
    assert metrics.scrape() == 200


def test_idle_callers_cannot_take_a_metrics_ports_descriptors(metrics: Metrics) -> None:
    callers = [metrics.connect() for _ in range(80)]
    time.sleep(0.5)
    assert _descriptors(metrics.process.pid) < 40
    closed = [caller for caller in callers if _is_closed(caller)]
    assert len(closed) >= 60
    time.sleep(5.5)  # the others are cut off
    assert metrics.scrape() == 200
    for caller in callers:
        caller.close()


def _descriptors(pid: int) -> int:
    return int(psutil.Process(pid).num_fds())


def _is_closed(caller: socket.socket) -> bool:
    caller.settimeout(0.01)
    try:
        return caller.recv(1) == b""
    except ConnectionError:
        return True
    except TimeoutError:
        return False


def test_a_launcher_that_cannot_start_a_worker_tries_again(monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[float] = []
    launcher = Launcher([Place("worker@here")], grace=1)

    def none_left(*_: object, **__: object) -> None:
        tries.append(time.monotonic())
        if len(tries) == 3:
            launcher.stop()
        raise OSError(errno.EMFILE, "Too many open files")

    before = _descriptors(os.getpid())
    monkeypatch.setattr(processes, "spawn", none_left)
    assert launcher.run() == 0
    assert len(tries) == 3
    assert tries[2] - tries[0] > 0.5
    assert _descriptors(os.getpid()) <= before
