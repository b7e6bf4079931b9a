"""A photo that hangs the device: the worker exits, only that job fails, others are served."""

from __future__ import annotations

import time
from pathlib import Path

from nukki import Client
from tests.integration.conftest import ended, plain, running, simulation, until, worker_process

#: The width of a photo on which the simulated segmenter hangs.
HANGING = 333
DEADLINE = 1.5
SETTINGS = {
    **simulation(seconds=0.15, hang_width=HANGING),
    "MAX_BATCH": "1",
    "STAGE_DEADLINE": str(DEADLINE),
    "LEASE": "1",
    "WORKER_THREADS": "16",
}


def test_a_hung_device_call_ends_the_worker_and_fails_only_its_job(
    tmp_path: Path,
) -> None:
    with running(tmp_path, **SETTINGS) as stack, Client(stack.url) as client:
        first = worker_process(stack)
        # Sixteen jobs at once wait longer than the deadline for the device; that is not a hang.
        slow = [client.submit(plain(100 + number)) for number in range(30)]
        busy = until(lambda: ended(client, slow), 30)
        assert {job.status for job in busy} == {"succeeded"}
        assert max(job.data["timings_ms"]["segment"] for job in busy) > 1000 * DEADLINE
        assert worker_process(stack) == first

        good = [client.submit(plain(200 + number)) for number in range(6)]
        bad = client.submit(plain(HANGING))
        good += [client.submit(plain(210 + number)) for number in range(6)]
        began = time.monotonic()
        first.wait(30)
        print(f"the worker left after {time.monotonic() - began:.1f} s")
        (failed,) = until(lambda: ended(client, [bad]), 40)
        done = until(lambda: ended(client, good), 60)
        print(f"all ended after {time.monotonic() - began:.1f} s")
        assert failed.error is not None
        assert failed.error.code == "poisoned"
        assert {job.status for job in done} == {"succeeded"}
        assert {job.data["attempts"] for job in done} == {1}  # none was charged for the hang
        client.wait(client.submit(plain(150)), timeout=30)  # the launcher has not given up
        stack.watch(0.1)  # raises if a service died
