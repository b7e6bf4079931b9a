"""The API's fixtures, and a real API process, for attacks on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from shared.testing import RedisProcess
from tests.api.conftest import (
    clear,
    client,
    doorbell,
    finish,
    jobs,
    keyed,
    leases,
    make_client,
    storage,
)
from tests.hostile.server import Served, served

__all__ = [
    "clear",
    "client",
    "doorbell",
    "finish",
    "jobs",
    "keyed",
    "leases",
    "make_client",
    "storage",
]

KEY = "alpha-key-0123456789"
#: The headers of the tenant `alpha`, for a request written by hand.
ALPHA = f"X-Api-Key: {KEY}\r\n"

Serve = Callable[..., Served]


@pytest.fixture
def serve(own_redis: RedisProcess, tmp_path: Path) -> Iterator[Serve]:
    """Start the API with these arguments; settings are environment names without `NUKKI_`."""
    with ExitStack() as stack:

        def start(*arguments: str, env: Mapping[str, str] | None = None, **settings: str) -> Served:
            env = {f"NUKKI_{name}": value for name, value in settings.items()} | dict(env or {})
            return stack.enter_context(served(own_redis.url, tmp_path, ["api", *arguments], env))

        yield start
