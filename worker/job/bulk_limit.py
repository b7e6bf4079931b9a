"""Keeps some of the worker's threads free for interactive jobs."""

from __future__ import annotations

import threading
from typing import Any

from shared.job import Lane
from shared.queue.doorbell import QUEUES


class BulkLimit:
    """Limits bulk jobs to three quarters of the threads; open while fewer are running.

    Celery runs messages in the order in which it fetched them from Redis. If it fetched a bulk
    message for every thread, a click would wait behind all of them. While the limit is closed, only
    the bulk queue is not read.
    """

    def __init__(self, threads: int) -> None:
        self._limit = max(1, threads - max(1, threads // 4))
        self._held = 0
        self._lock = threading.Lock()

    def is_open(self) -> bool:
        return self._held < self._limit

    def received(self, request: Any, **_: Any) -> None:
        """Count a fetched message; a handler of Celery's `task_received` signal."""
        self._count(request.delivery_info, 1)

    def done(self, delivery_info: dict[str, Any]) -> None:
        """Uncount a message whose task has ended."""
        self._count(delivery_info, -1)

    def _count(self, delivery_info: dict[str, Any], change: int) -> None:
        if delivery_info.get("routing_key") == QUEUES[Lane.BULK]:
            with self._lock:
                self._held += change
