"""The one Redis connection of a process: short timeouts, named scripts, our own errors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.commands.core import Script
from redis.retry import Retry
from redis.sentinel import Sentinel

from shared.errors import QueueFull, QueueUnavailable
from shared.queue import scripts
from shared.queue.address import SentinelAddress
from shared.queue.family import PREFIX

_Sentinel: Any = Sentinel  # which is not typed
_BlockingPool: Any = redis.BlockingConnectionPool
#: Connections of a process. Through sentinels there are as many as are needed at a time, since
#: redis-py has no blocking pool for them.
_CONNECTIONS, _MOST_CONNECTIONS = 128, 4096
#: Both under the two seconds in which a dead Redis must be reported.
CONNECT_TIMEOUT = 0.8
SOCKET_TIMEOUT = 1.5


@contextmanager
def translated() -> Iterator[None]:
    """Turn redis-py's errors into ours.

    Raises:
        QueueFull: Redis is at its maxmemory.
        QueueUnavailable: Redis is not answering, or is loading its data.
    """
    try:
        yield
    except (redis.ConnectionError, redis.TimeoutError, redis.ReadOnlyError) as error:
        raise QueueUnavailable from error
    except redis.OutOfMemoryError as error:
        raise QueueFull("Redis is out of memory") from error
    except redis.ResponseError as error:
        if "OOM" in str(error):  # as a script reports it
            raise QueueFull("Redis is out of memory") from error
        if "MISCONF" in str(error):  # it cannot write to its disk
            raise QueueUnavailable from error
        raise


def _client(url: str) -> Any:
    """A client of the server at `url`, or of whichever server its sentinels call the master."""
    options: dict[str, Any] = {
        "decode_responses": True,
        # redis-py retries ten times by default: 15 s into a black hole. Callers retry, not this.
        "retry": Retry(NoBackoff(), 0),
        "socket_connect_timeout": CONNECT_TIMEOUT,
        "socket_timeout": SOCKET_TIMEOUT,
        "health_check_interval": 5,
    }
    address = SentinelAddress.parse(url)
    if address is None:
        # Of a thousand callers at once, most wait a moment for one of the connections.
        pool: Any = _BlockingPool.from_url(
            url, max_connections=_CONNECTIONS, timeout=SOCKET_TIMEOUT, **options
        )
        return redis.Redis.from_pool(pool)
    options["max_connections"] = _MOST_CONNECTIONS
    login = {"db": address.db, "username": address.username, "password": address.password}
    sentinel: Any = _Sentinel(list(address.hosts), sentinel_kwargs=address.sentinel_options)
    return sentinel.master_for(address.service, **options, **login)


class Connection:
    """Redis, by named script or by plain command."""

    def __init__(self, url: str) -> None:
        # Any: redis-py's stubs admit bytes and awaitables, which `decode_responses` rules out.
        self.redis: Any = _client(url)
        self._scripts: dict[str, Script] = {}

    def run(self, script: str, **args: Any) -> Any:
        """Run one Lua script; its `args` table is `args`, those that are None left out.

        Raises:
            QueueUnavailable, QueueFull: see `translated`.
        """
        if script not in self._scripts:
            self._scripts[script] = self.redis.register_script(scripts.source(script))
        given = {name: value for name, value in args.items() if value is not None}
        with translated():
            return self._scripts[script](keys=[PREFIX], args=[json.dumps(given)])

    def ping(self) -> None:
        """Raise QueueUnavailable unless Redis answers."""
        with translated():
            self.redis.ping()

    def close(self) -> None:
        self.redis.close()


def pairs(flat: list[str]) -> dict[str, str]:
    """A script's HGETALL answer as a dict."""
    return dict(zip(flat[::2], flat[1::2], strict=True))
