"""Photos that kill the worker: only they fail, and the worker is restarted."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from nukki import Client
from tests.integration.conftest import ended, plain, running, simulation, until

#: The width of a photo that kills the simulated segmenter's process.
DEADLY = 333
SETTINGS = {
    **simulation(seconds=0.05, crash_width=DEADLY),
    "LEASE": "1",
    "WORKER_THREADS": "8",
}


@pytest.mark.parametrize("poisoned", [1, 2])
def test_a_photo_that_kills_the_worker_fails_only_its_own_job(
    tmp_path: Path, poisoned: int
) -> None:
    with running(tmp_path, **SETTINGS) as stack, Client(stack.url) as client:
        good = [client.submit(plain(100 + number)) for number in range(15)]
        bad = [client.submit(plain(DEADLY)) for _ in range(poisoned)]
        good += [client.submit(plain(200 + number)) for number in range(15)]
        began = time.monotonic()
        failed = until(lambda: ended(client, bad), 90)
        done = until(lambda: ended(client, good), 60)
        print(f"{poisoned} poisoned, all ended after {time.monotonic() - began:.1f} s")
        assert {job.status for job in done} == {"succeeded"}
        assert {job.data["attempts"] for job in done} == {1}  # none was charged for the crash
        assert [job.error.code for job in failed if job.error] == ["poisoned"] * poisoned
        assert {job.data["attempts"] for job in failed} == {3}
        client.wait(client.submit(plain(150)), timeout=30)  # the launcher has not given up
        stack.watch(0.1)  # raises if a service died
