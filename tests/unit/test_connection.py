from __future__ import annotations

import pytest
import redis

from shared.errors import NukkiError, QueueFull, QueueUnavailable
from shared.queue.connection import Connection, translated


@pytest.mark.parametrize(
    ("raised", "ours"),
    [
        (redis.ConnectionError("refused"), QueueUnavailable),
        (redis.TimeoutError("no answer"), QueueUnavailable),
        (redis.BusyLoadingError("loading the dataset"), QueueUnavailable),
        (redis.ReadOnlyError("a replica"), QueueUnavailable),
        (redis.ResponseError("MISCONF Redis cannot persist to disk"), QueueUnavailable),
        (redis.OutOfMemoryError("OOM command not allowed"), QueueFull),
        (redis.ResponseError("-OOM command not allowed, script: f_1"), QueueFull),
    ],
    ids=lambda item: str(item)[:20],
)
def test_what_redis_cannot_do_now_is_unavailable(raised: Exception, ours: type[NukkiError]) -> None:
    with pytest.raises(ours), translated():
        raise raised


def test_a_mistake_of_ours_stays_an_error() -> None:
    with pytest.raises(redis.ResponseError), translated():
        raise redis.ResponseError("WRONGTYPE")


def test_an_unlimited_redis_is_never_full(connection: Connection) -> None:
    assert connection.memory_share() == 0


def test_the_share_of_a_limited_redis_is_told(connection: Connection) -> None:
    used = connection.redis.info("memory")["used_memory"]
    connection.redis.config_set("maxmemory", 4 * used)
    try:
        assert 0.1 < connection.memory_share() < 0.5
    finally:
        connection.redis.config_set("maxmemory", 0)
