"""Keeps threads free for those who wait for an answer."""

from __future__ import annotations

import threading
from typing import Any

from shared.job import Lane
from shared.queue.doorbell import QUEUES


class BulkLimit:
    """Open while fewer than three of four threads have a bulk job in hand.

    Celery hands out messages in the order in which it took them from Redis: were it to take a
    long catalog's for every thread, a click would wait behind all of them. Closed, only the bulk
    queue is left alone.
    """

    def __init__(self, threads: int) -> None:
        self._limit = max(1, threads - max(1, threads // 4))
        self._held = 0
        self._lock = threading.Lock()

    def is_open(self) -> bool:
        return self._held < self._limit

    def received(self, request: Any, **_: Any) -> None:
        """Celery's `task_received`, as it takes a message."""
        self._count(request.delivery_info, 1)

    def done(self, delivery_info: dict[str, Any]) -> None:
        """The message's task has ended."""
        self._count(delivery_info, -1)

    def _count(self, delivery_info: dict[str, Any], change: int) -> None:
        if delivery_info.get("routing_key") == QUEUES[Lane.BULK]:
            with self._lock:
                self._held += change
