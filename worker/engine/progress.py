"""Since when the device owes an answer."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Progress:
    """A clock that runs while anybody waits for the device, and begins anew with each batch.

    It knows the callers and not only the batch in hand, so that it runs as well where the device's
    thread is dead, and nobody will ever take what is queued.
    """

    def __init__(self) -> None:
        self._callers = 0
        self._moved = 0.0
        self._lock = threading.Lock()

    @contextmanager
    def awaited(self) -> Iterator[None]:
        """Somebody waits while the block runs."""
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
        """A batch begins, or has ended."""
        with self._lock:
            self._moved = time.monotonic()

    @property
    def since(self) -> float:
        """The `time.monotonic` of the last move while anybody waits; infinity while nobody does."""
        with self._lock:
            return self._moved if self._callers else math.inf
