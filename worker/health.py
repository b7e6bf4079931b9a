"""Checks that a worker of this host is ready: `python -m worker.health`, for containers."""

from __future__ import annotations

import socket
import sys

from shared.errors import ConfigError, QueueUnavailable
from shared.queue.connection import Connection
from shared.queue.workers import WorkerRoll
from shared.settings import RedisSettings


def main() -> int:
    """Return 0 if the roll of ready workers has one of this host; else print why not, return 1."""
    own = f"worker@{socket.gethostname()}"
    try:
        connection = Connection(RedisSettings.load().redis_url)
        names = [worker.name for worker in WorkerRoll(connection).present()]
        connection.close()
    except (ConfigError, QueueUnavailable) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if any(name == own or name.startswith(f"{own}:") for name in names):
        return 0
    sys.stderr.write(f"no worker of {own} is ready\n")
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
