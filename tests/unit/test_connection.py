from __future__ import annotations

import pytest
import redis

from shared.errors import QueueFull, QueueUnavailable, ServiceError
from shared.queue.connection import translated


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
def test_temporary_redis_errors_become_queue_errors(
    raised: Exception, ours: type[ServiceError]
) -> None:
    with pytest.raises(ours), translated():
        raise raised


def test_a_programming_error_is_not_translated() -> None:
    with pytest.raises(redis.ResponseError), translated():
        raise redis.ResponseError("WRONGTYPE")
