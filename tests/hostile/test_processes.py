"""Several server processes behind one port."""

from __future__ import annotations

import signal
import threading
import time

import httpx
import psutil

from tests.hostile.conftest import Serve
from tests.hostile.server import Served


def _counted(server: Served) -> float:
    """The requests for `/health/live` that all processes have counted."""
    text = httpx.get(f"{server.url}/metrics", trust_env=False).text
    lines = [
        line
        for line in text.splitlines()
        if line.startswith("nukki_http_requests_total") and 'route="/health/live"' in line
    ]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


def test_metrics_are_added_up(serve: Serve) -> None:
    server = serve("--processes", "3")
    before = _counted(server)
    for _ in range(60):  # each on a connection of its own, which any process may take
        httpx.get(f"{server.url}/health/live", trust_env=False)
    assert [_counted(server) - before for _ in range(6)] == [60] * 6


def test_a_process_that_dies_is_replaced_and_its_counts_stay(serve: Serve) -> None:
    server = serve("--processes", "2")
    for _ in range(20):
        httpx.get(f"{server.url}/health/live", trust_env=False)
    before = _counted(server)
    first = psutil.Process(server.pid).children()[0]
    first.kill()
    deadline = time.monotonic() + 20
    while len(psutil.Process(server.pid).children()) < 2 or first.is_running():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert _counted(server) >= before


def test_the_processes_end_with_their_master(serve: Serve) -> None:
    server = serve("--processes", "2")
    master = psutil.Process(server.pid)
    children = master.children()
    master.kill()
    _, alive = psutil.wait_procs(children, timeout=15)
    assert alive == []


def test_waiting_callers_are_answered_before_the_processes_end(serve: Serve, sample: bytes) -> None:
    server = serve("--processes", "2")
    job_id = httpx.post(f"{server.url}/v1/jobs", files={"image": sample}).json()["id"]
    statuses: list[int] = []

    def wait() -> None:
        url = f"{server.url}/v1/jobs/{job_id}?wait=50"
        statuses.append(httpx.get(url, trust_env=False, timeout=60).status_code)

    threads = [threading.Thread(target=wait) for _ in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(1)
    begun = time.monotonic()
    psutil.Process(server.pid).send_signal(signal.SIGTERM)
    for thread in threads:
        thread.join()
    assert statuses == [503] * 8  # ask again: never an early "still queued"
    assert time.monotonic() - begun < 20
