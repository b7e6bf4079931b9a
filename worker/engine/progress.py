"""How long the device has gone without progress while callers wait."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Progress:
    """A clock that runs while any caller waits for the device, and restarts with every batch.

    It counts callers instead of watching the current batch, so that it also runs if the device's
    thread has died and the queue will never be served.
    """

    def __init__(self) -> None:
        self._callers = 0
        self._moved = 0.0
        self._lock = threading.Lock()

    @contextmanager
    def awaited(self) -> Iterator[None]:
        """Count a waiting caller while the block runs."""
        with self._lock:
            if self._callers == 0:
                self._moved = time.monotonic()
            self._callers += 1
        try:
            yield
        finally:
            with self._lock:
                self._callers -= 1

    def move(self) -> None:
        """Restart the clock: a batch begins or has ended."""
        with self._lock:
            self._moved = time.monotonic()

    @property
    def since(self) -> float:
        """The `time.monotonic` of the last progress; infinity while no caller waits."""
        with self._lock:
            return self._moved if self._callers else math.inf
