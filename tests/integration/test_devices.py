"""A launcher with two devices, and real workers of a model that needs no device."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from nukki import Client
from nukki.redis_server import free_port
from nukki.stack import Stack
from shared import processes
from shared.queue.connection import Connection
from shared.queue.workers import WorkerRoll
from tests.integration.conftest import named_in_full, running, simulation, until

NAMES = [f"worker@{socket.gethostname()}:gpu{number}" for number in (0, 1)]
SLOW = {**simulation(seconds=0.3), "LEASE": "1"}


@contextmanager
def launched(stack: Stack, **settings: str) -> Iterator[psutil.Process]:
    """`nukki worker --devices 0,1` beside the stack's API and courier, instead of its worker."""
    os.kill(stack.pid("worker"), signal.SIGTERM)
    env = named_in_full(SLOW | settings)
    env |= {"REDIS_URL": stack.redis_url, "NUKKI_STORAGE_DIR": str(stack.data / "storage")}
    argv = [sys.executable, "-m", "nukki", "worker", "--devices", "0,1"]
    with (stack.data / "logs" / "launcher.log").open("ab") as log:
        child = processes.spawn(argv, env=env, output=log)
    try:
        yield psutil.Process(child.pid)
    finally:
        processes.stop(child, 40)


def names(stack: Stack) -> list[str]:
    connection = Connection(stack.redis_url)
    present = [worker.name for worker in WorkerRoll(connection).present()]
    connection.close()
    return present


def times_ready(stack: Stack, name: str) -> int:
    """How often a worker of this name has started; dead workers stay listed for a while."""
    lines = (stack.data / "logs" / "launcher.log").read_text().splitlines()
    return sum("ready:" in line and line.endswith(f"worker={name}") for line in lines)


def looked_at(port: int) -> float:
    """How many photos the worker with that metrics port has segmented."""
    shown = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=5).text
    counts = re.findall(r"^nukki_embedding_(?:hits|misses)_total (\S+)$", shown, re.MULTILINE)
    assert len(counts) == 2
    return sum(map(float, counts))


def two_free_ports() -> int:
    """The first of two consecutive free ports."""
    while True:
        port = free_port()
        with contextlib.suppress(OSError), socket.socket() as next_one:
            next_one.bind(("127.0.0.1", port + 1))
            return port


def named(launcher: psutil.Process, name: str) -> psutil.Process:
    [child] = [item for item in launcher.children() if item.cmdline()[-1] == name]
    return child


def test_each_device_has_its_own_worker_restarted_separately(tmp_path: Path, sample: bytes) -> None:
    port = two_free_ports()
    with (
        running(tmp_path, **SLOW) as stack,
        Client(stack.url) as client,
        launched(stack, METRICS_PORT=str(port)) as launcher,
    ):
        until(lambda: names(stack) == NAMES, 60)
        [model] = httpx.get(f"{stack.url}/v1/models", timeout=5).json()["models"]
        assert (model["name"], model["workers"]) == ("simulated", 2)
        first, second = (named(launcher, name) for name in NAMES)
        visible = [item.environ()["CUDA_VISIBLE_DEVICES"] for item in (first, second)]
        assert visible == ["0", "1"]
        warm = [looked_at(port), looked_at(port + 1)]
        jobs = [client.submit(sample) for _ in range(12)]
        assert all(client.wait(job, timeout=60).status == "succeeded" for job in jobs)
        both = [looked_at(port), looked_at(port + 1)]
        assert both[0] > warm[0]
        assert both[1] > warm[1]

        jobs = [client.submit(sample) for _ in range(12)]
        first.kill()
        first.wait(10)
        assert all(client.wait(job, timeout=60).status == "succeeded" for job in jobs)
        assert looked_at(port + 1) > both[1]
        until(lambda: times_ready(stack, NAMES[0]) == 2, 60)
        assert named(launcher, NAMES[0]).pid != first.pid
        assert times_ready(stack, NAMES[1]) == 1
        assert second.is_running()

        children = launcher.children(recursive=True)  # with what decodes for the workers
        assert len(launcher.children()) == 2
        launcher.send_signal(signal.SIGTERM)
        assert launcher.wait(40) == 0
        _, left = psutil.wait_procs(children, 1)
        assert not [child for child in left if child.status() != psutil.STATUS_ZOMBIE]
        until(lambda: names(stack) == [], 60)


@pytest.mark.parametrize(
    ("devices", "complaint"),
    [
        ("0,0", "gpu0 is given twice"),
        ("GPU-77", "no such device: GPU-77"),
    ],
)
def test_an_invalid_device_list_is_refused_at_once(
    tmp_path: Path, devices: str, complaint: str
) -> None:
    argv = [sys.executable, "-m", "nukki", "worker", "--devices", devices, "--model", "grabcut"]
    with (tmp_path / "log").open("wb") as log:
        child = processes.spawn(argv, output=log)
    assert child.wait(30) == 78
    assert complaint in (tmp_path / "log").read_text()


def test_listing_the_devices_does_not_import_torch(tmp_path: Path) -> None:
    program = (
        "import sys, worker.launcher.supervisor; from shared.settings import LauncherSettings;"
        "from worker.launcher.devices import places;"
        "places(LauncherSettings.load(model='sam2.1_hiera_tiny', checkpoint='x.pt'), None, {});"
        "sys.exit('torch' in sys.modules or 'cv2' in sys.modules)"
    )
    with (tmp_path / "log").open("wb") as log:
        child = processes.spawn([sys.executable, "-c", program], output=log)
    assert child.wait(30) == 0, (tmp_path / "log").read_text()
