"""HTTP servers beside each other, under callers who are slow on purpose.

    python -m tests.bench.servers [NAME …] [--seconds 20] [--json FILE]

For each server, beside each kind of slow caller: the slowest `/health/live` and the slowest submit
that honest callers saw, in seconds. Only servers that are installed are tried.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import tempfile
from pathlib import Path
from typing import Any

import httpx

from nukki.redis_server import find_server, free_port
from shared.testing import RedisProcess
from tests.bench.engine.photos import jpegs
from tests.bench.servers.candidates import CANDIDATES
from tests.hostile.crowd import Caller, Seen, crowd, drip, get, honest, idle, pipeline
from tests.hostile.server import Served, served
from tests.hostile.waiters import wait_for_jobs

_HALF = b"GET /health/live HTTP/1.1\r\nX: "
_LARGE = get("/openapi.json")
_BODY = (
    b"POST /v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    b"Content-Type: multipart/form-data; boundary=b\r\n"
    b"Content-Length: 50000000\r\n\r\n--b\r\nContent-Disposition: form-data; name=image; "
    b"filename=p\r\n\r\n"
)
_UPLOADS = drip(_BODY + b"x" * 20_000, 1.0)
#: Name, connections, what each does.
_CROWDS: tuple[tuple[str, int, Caller], ...] = (
    ("nobody", 0, idle),
    ("1,000 idle", 1000, idle),
    ("500 dripping headers", 500, drip(_HALF, 20)),
    ("500 dripping a body", 500, drip(_BODY, 20)),
    ("100 that never read", 100, pipeline(_LARGE, 400)),
    ("50 slow uploads", 50, _UPLOADS),
)
_WAITING = "1,000 waiting"


def main() -> None:
    """Measure and print one line per server and crowd."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *CANDIDATES], default=[])
    parser.add_argument("--seconds", type=float, default=20, help="seconds beside each crowd")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--only", default="", help="only crowds whose name contains this")
    options = parser.parse_args()
    photo, table = jpegs(0.1)[0], dict[str, dict[str, Any]]()
    for name in options.names or CANDIDATES:
        module = {"ours": "gunicorn", "gunicorn-gevent": "gunicorn"}.get(name, name)
        if importlib.util.find_spec(module) is None:
            print(f"{name}: skipped, not installed")
            continue
        print(name, flush=True)
        table[name] = {}
        for crowd_name, count, act in [item for item in _CROWDS if options.only in item[0]]:
            table[name][crowd_name] = found = _measured(name, photo, count, act, options.seconds)
            print(f"  {crowd_name:24}{_told(found)}", flush=True)
        if options.only in _WAITING:
            table[name][_WAITING] = found = _waiting(name, photo)
            print(f"  {_WAITING:24}{_told(found)}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(table, indent=1) + "\n")


def _told(found: dict[str, Any]) -> str:
    return "  ".join(
        f"{name} {value:.2f}" if isinstance(value, float) else f"{name} {value}"
        for name, value in found.items()
    )


def _measured(name: str, photo: bytes, count: int, act: Caller, seconds: float) -> dict[str, Any]:
    async def beside(server: Served) -> dict[str, Any]:
        async with crowd(server.port, count, act) as slow:
            seen = await honest(server.port, photo, seconds)
            return _figures(seen) | {"refused": slow.refused, "cut off": len(slow.cut_after)}

    with _running(name) as server:
        return asyncio.run(beside(server))


def _waiting(name: str, photo: bytes) -> dict[str, Any]:
    with _running(name) as server:
        with httpx.Client(base_url=server.url, trust_env=False, timeout=30) as client:
            posted = [client.post("/v1/jobs", files={"image": photo}) for _ in range(200)]
        ids = [response.json()["id"] for response in posted]
        waited = asyncio.run(wait_for_jobs(server, photo, ids, callers=1000, seconds=20))
        lags = {"median lag": waited.median, "slowest": waited.slowest} if waited.lags else {}
        return lags | {
            "early": waited.early,
            "refused": waited.refused,
            **_figures(waited.beside),
        }


def _figures(seen: Seen) -> dict[str, Any]:
    return {
        "live": seen.slowest_live,
        "submit": seen.slowest_submit,
        "errors": len(seen.errors),
    }


class _running:  # noqa: N801  # reads as a function
    """A candidate on a Redis and a folder of its own."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> Served:
        self._folder = tempfile.TemporaryDirectory()
        self._redis = RedisProcess(find_server(), free_port())
        redis = self._redis.__enter__()
        argv = ["tests.bench.servers.candidates", self._name]
        self._server = served(redis.url, Path(self._folder.name), argv, {})
        return self._server.__enter__()

    def __exit__(self, *_: object) -> None:
        self._server.__exit__(None, None, None)
        self._redis.__exit__(None, None, None)
        self._folder.cleanup()


if __name__ == "__main__":
    main()
