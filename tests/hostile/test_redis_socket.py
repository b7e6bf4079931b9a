"""Other users of the machine against the embedded Redis: there is no port to connect to."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import redis

from nukki import redis_server
from nukki.stack import Stack
from shared.job import Lane
from shared.queue.address import broker_url
from shared.queue.connection import Connection
from shared.queue.doorbell import QUEUES, Doorbell, make_celery
from shared.settings import RedisSettings
from shared.testing import RedisProcess
from tests.conftest import REDIS_SERVERS, missing

PASSWORD = "p" * 20


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack in a folder whose name Redis would take for a pattern."""
    lines: list[str] = []
    data = tmp_path_factory.mktemp("stack") / 'a "[b]" \\n %20 #*? é'
    with Stack(data, say=lines.append) as stack:
        (said,) = [line for line in lines if line.startswith("redis")]
        assert redis_server.dotted(redis_server.version_of(redis_server.find_server())) in said
        yield stack


def test_no_port_is_open(stack: Stack) -> None:
    process = psutil.Process(stack.pid("redis"))
    assert process.net_connections(kind="inet") == []
    for item in process.net_connections(kind="unix"):
        assert item.laddr in {"", str(stack.data.resolve() / "redis" / "redis.sock")}


def test_only_the_owner_can_reach_the_socket(stack: Stack) -> None:
    place = stack.data / "redis" / "redis.sock"
    for path in (place, place.parent):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_a_password_is_still_asked_for(stack: Stack) -> None:
    stranger = redis.Redis(unix_socket_path=str(stack.data / "redis" / "redis.sock"))
    with pytest.raises(redis.AuthenticationError):
        stranger.ping()
    stranger.close()


def test_no_command_line_holds_the_password(stack: Stack) -> None:
    password = stack.secrets()["redis"]
    processes = [psutil.Process(stack.pid(name)) for name in ("redis", "worker", "courier", "api")]
    for process in processes:
        for each in [process, *process.children(recursive=True)]:
            assert not [word for word in each.cmdline() if password in word]


def _served(server: str, folder: Path) -> RedisProcess:
    place = redis_server.place_socket(folder)
    config = redis_server.write_config(folder, place, PASSWORD, 64 << 20)
    process = RedisProcess("", 0)
    process.url = redis_server.url(place, PASSWORD)
    process._argv = ["sh", "-c", 'exec "$0" - < "$1"', server, str(config)]
    return process


@pytest.mark.parametrize("name", REDIS_SERVERS)
@pytest.mark.parametrize("folder", ["plain", 'a "b" \\n %20 #? +é', "d" * 200])
def test_queue_and_broker_reach_a_server_in_any_folder(
    tmp_path: Path, name: str, folder: str
) -> None:
    server = REDIS_SERVERS[name]
    if server is None:
        missing(name)
    data = tmp_path / folder
    data.mkdir()
    with _served(str(server), data) as process:
        connection = Connection(process.url)
        settings = RedisSettings.load(redis_url=process.url)
        celery = make_celery(settings)
        assert Doorbell(celery).ring("job_1", Lane.BULK)
        assert connection.redis.llen(QUEUES[Lane.BULK]) == 1
        assert PASSWORD not in celery.connection().as_uri()
        celery.pool.force_close_all()
        connection.close()


def test_a_socket_that_fits_nowhere_else_goes_to_a_private_folder(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 150)
    deep.mkdir()
    place = redis_server.place_socket(deep)
    assert len(str(place)) < 100
    assert stat.S_IMODE(place.parent.stat().st_mode) == 0o700
    place.parent.rmdir()


def test_the_private_folder_goes_with_the_stack(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 150)
    with Stack(deep, say=lambda _line: None) as stack:
        place = Path(stack.redis_url.rpartition("@")[2].partition("?")[0])
        assert place.exists()
        assert not place.is_relative_to(deep)
    assert not place.parent.exists()


def test_the_database_is_the_same_for_the_broker() -> None:
    assert (
        broker_url("unix://:p@/run/r.sock?db=3") == "redis+socket://:p@/run/r.sock?virtual_host=3"
    )
    assert broker_url("unix:///run/r.sock") == "redis+socket:///run/r.sock"
