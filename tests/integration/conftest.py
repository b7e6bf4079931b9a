"""The real stack: Redis, launcher, worker, courier and API as processes."""

from __future__ import annotations

import http.server
import io
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image

from nukki import Client, Job
from nukki.stack import Stack
from tests.simulated import simulated

LOOPBACK = {"NUKKI_ALLOW_NETWORKS": "127.0.0.0/8"}


def named_in_full(overrides: Mapping[str, str]) -> dict[str, str]:
    """Add the prefix `NUKKI_` to variable names that lack it."""
    bare = ("S3_", "REDIS_", "PYTHON")
    return {
        name if name.startswith(bare) else f"NUKKI_{name}": value
        for name, value in overrides.items()
    }


def simulation(**knobs: float) -> dict[str, str]:
    """Settings for `running` that select the simulated segmenter with these knobs."""
    return {name.removeprefix("NUKKI_"): value for name, value in simulated(**knobs).items()}


@contextmanager
def running(data: Path, **overrides: str) -> Iterator[Stack]:
    """Run a stack on this data folder; settings are environment names without `NUKKI_`."""
    named = named_in_full(overrides)
    with Stack(data, overrides=LOOPBACK | named, say=lambda _line: None) as stack:
        yield stack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One stack with the default model, for tests that leave it running."""
    with running(tmp_path_factory.mktemp("stack")) as stack:
        yield stack


@pytest.fixture
def client(stack: Stack) -> Iterator[Client]:
    with Client(stack.url) as client:
        yield client


@dataclass
class Receiver:
    """A webhook receiver on loopback that answers each of `statuses` in turn, then 204."""

    url: str
    messages: queue.Queue[tuple[dict[str, str], bytes]] = field(default_factory=queue.Queue)
    statuses: list[int] = field(default_factory=list)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found: list[Receiver] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found[0].messages.put((dict(self.headers.items()), body))
            self.send_response(found[0].statuses.pop(0) if found[0].statuses else 204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found.append(Receiver(f"http://127.0.0.1:{server.server_port}/hook"))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield found[0]
        server.shutdown()


def until(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    """Wait until `condition` returns a true value; that value."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"still not so after {seconds} s")
        time.sleep(0.02)


def worker_process(stack: Stack) -> psutil.Process:
    """The worker process of the stack's launcher."""
    child: psutil.Process = until(lambda: psutil.Process(stack.pid("worker")).children())[0]
    return child


def plain(width: int) -> bytes:
    """A PNG of this width, which decides whether the simulated segmenter crashes or hangs."""
    data = io.BytesIO()
    Image.new("RGB", (width, 80), (200, 30, 30)).save(data, "PNG")
    return data.getvalue()


def ended(client: Client, jobs: Sequence[Job]) -> list[Job] | None:
    """The finished jobs; None while any is still unfinished."""
    seen = [client.get(job.id) for job in jobs]
    return seen if all(job.done for job in seen) else None


def pixels(png: bytes) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.asarray(Image.open(io.BytesIO(png)))


def files_in(stack: Stack) -> list[str]:
    """The objects in the stack's local storage, without the tombstones of erased jobs."""
    root = stack.data / "storage"
    found = (path for path in root.rglob("*") if path.is_file() and path.name != ".upload-secret")
    names = (str(path.relative_to(root)) for path in found)
    return sorted(name for name in names if not name.startswith("~erased/"))
