"""Callers that are slow on purpose do not hold others up."""

from __future__ import annotations

import asyncio
import os

import httpx
import pytest

from tests.hostile.conftest import Serve
from tests.hostile.crowd import Caller, Seen, crowd, drip, get, honest, idle, pipeline
from tests.hostile.waiters import wait_for_jobs

LONG = bool(os.environ.get("NUKKI_HOSTILE_LONG"))
#: Seconds after which an honest caller was held up. Only a stall takes as long, on any machine.
STALLED = 10.0

_HALF = b"GET /health/live HTTP/1.1\r\nX: "
_BODY = (
    b"POST /v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    b"Content-Type: multipart/form-data; boundary=b\r\n"
    b"Content-Length: 50000000\r\n\r\n--b\r\nContent-Disposition: form-data; name=image; "
    b"filename=p\r\n\r\n"
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("count", "act"),
    [
        pytest.param(300, idle, id="idle"),
        pytest.param(200, drip(_HALF, 20), id="dripping-headers"),
        pytest.param(200, drip(_BODY, 20), id="dripping-a-body"),
        pytest.param(50, pipeline(get("/openapi.json"), 200), id="never-reading"),
        pytest.param(50, drip(_BODY + b"x" * 20_000, 1), id="slow-uploads"),
    ],
)
def test_honest_callers_are_answered(serve: Serve, sample: bytes, count: int, act: Caller) -> None:
    server = serve()

    async def beside() -> Seen:
        async with crowd(server.port, count, act) as slow:
            seen = await honest(server.port, sample, 60 if LONG else 4, callers=40)
            assert slow.refused == 0
            return seen

    seen = asyncio.run(beside())
    assert seen.errors == []
    assert max(seen.slowest_live, seen.slowest_submit) < STALLED


@pytest.mark.slow
def test_beyond_the_limit_the_longest_idle_connection_is_closed(
    serve: Serve, sample: bytes
) -> None:
    server = serve(API_CONNECTIONS="40")

    async def beside() -> Seen:
        async with crowd(server.port, 400, idle) as slow:  # all come at once
            assert len(slow.cut_after) >= 355
            return await honest(server.port, sample, 3, callers=10)

    seen = asyncio.run(beside())
    assert seen.errors == []


@pytest.mark.slow
def test_many_callers_wait_and_each_is_answered_when_its_job_ends(
    serve: Serve, sample: bytes
) -> None:
    server = serve()
    with httpx.Client(base_url=server.url, trust_env=False) as client:
        ids = [client.post("/v1/jobs", files={"image": sample}).json()["id"] for _ in range(50)]
    waited = asyncio.run(
        wait_for_jobs(server, sample, ids, callers=1000 if LONG else 300, seconds=4)
    )
    assert (waited.early, waited.refused) == (0, 0)
    assert len(waited.lags) == (1000 if LONG else 300)
    assert waited.slowest < STALLED
    assert waited.beside.errors == []
