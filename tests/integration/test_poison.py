"""Photos that kill the process: they fail, their neighbours do not, and the worker comes back."""

from __future__ import annotations

import io
import time
from pathlib import Path

import pytest
from PIL import Image

from nukki import Client, Job
from tests.integration.conftest import running, until

#: The width of a photo that kills the simulated segmenter's process.
DEADLY = 333
SETTINGS = {
    "MODEL": "simulated",
    "SIMULATED_SECONDS": "0.05",
    "SIMULATED_CRASH_WIDTH": str(DEADLY),
    "LEASE": "1",
    "WORKER_THREADS": "8",
}


def photo(width: int) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (width, 80), (200, 30, 30)).save(data, "PNG")
    return data.getvalue()


@pytest.mark.parametrize("poisoned", [1, 2])
def test_a_photo_that_kills_the_worker_fails_and_its_neighbours_do_not(
    tmp_path: Path, poisoned: int
) -> None:
    with running(tmp_path, **SETTINGS) as stack, Client(stack.url) as client:
        good = [client.submit(photo(100 + number)) for number in range(15)]
        bad = [client.submit(photo(DEADLY)) for _ in range(poisoned)]
        good += [client.submit(photo(200 + number)) for number in range(15)]
        began = time.monotonic()

        def ended(jobs: list[Job]) -> list[Job] | None:
            seen = [client.get(job.id) for job in jobs]
            return seen if all(job.done for job in seen) else None

        failed = until(lambda: ended(bad), 90)
        done = until(lambda: ended(good), 60)
        print(f"{poisoned} poisoned, all ended after {time.monotonic() - began:.1f} s")
        assert {job.status for job in done} == {"succeeded"}
        assert {job.data["attempts"] for job in done} == {1}  # no death was laid at their door
        assert [job.error.code for job in failed if job.error] == ["poisoned"] * poisoned
        assert {job.data["attempts"] for job in failed} == {3}
        client.wait(client.submit(photo(150)), timeout=30)  # the launcher has not given up
        stack.watch(0.1)  # raises where a service died
