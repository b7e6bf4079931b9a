"""Keeps some of the worker's threads free for interactive jobs."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
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
        self._resuming: deque[Callable[[], None]] = deque()
        self._lock = threading.Lock()

    def is_open(self) -> bool:
        return self._held < self._limit

    def received(self, request: Any, **_: Any) -> None:
        """Count a fetched message; a handler of Celery's `task_received` signal."""
        if _is_bulk(request.delivery_info):
            with self._lock:
                self._held += 1

    def done(self, delivery_info: dict[str, Any]) -> None:
        """Uncount a message whose task has ended."""
        if _is_bulk(delivery_info):
            self.leave()

    def resume(self, start: Callable[[], None]) -> None:
        """Count a bulk job that waited without a thread, and call `start`; later if closed."""
        with self._lock:
            self._resuming.append(start)
        self._start()

    def leave(self) -> None:
        """Uncount a bulk job that has ended."""
        with self._lock:
            self._held -= 1
        self._start()

    def _start(self) -> None:
        while True:
            with self._lock:
                if not self._resuming or not self.is_open():
                    return
                self._held += 1
                start = self._resuming.popleft()
            start()


def _is_bulk(delivery_info: dict[str, Any]) -> bool:
    return bool(delivery_info.get("routing_key") == QUEUES[Lane.BULK])
