"""Storage health, probed once for all requests and remembered for a moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from shared.errors import StorageUnavailable

#: Seconds for which a probe's answer counts; refused callers are told to retry after two.
REMEMBERED = 1.0


class Pulse:
    """A storage probe shared by all requests: at most one per second reaches storage."""

    def __init__(self, ping: Callable[[], None], *, remembered: float = REMEMBERED) -> None:
        """Make the pulse; the first probe comes with the first request.

        Args:
            ping: raises StorageUnavailable unless storage answers quickly.
            remembered: seconds for which an answer counts, good or bad.
        """
        self._ping = ping
        self._remembered = remembered
        self._failure: StorageUnavailable | None = None
        self._stale_at = 0.0
        self._asking = threading.Lock()

    def require(self) -> None:
        """Raise StorageUnavailable unless storage answered just now.

        Requests that arrive during a probe wait for it and use its answer.
        """
        if time.monotonic() >= self._stale_at:
            with self._asking:
                if time.monotonic() >= self._stale_at:
                    self._ask()
        failure = self._failure
        if failure is not None:  # a new one each time: threads must not share a traceback
            raise StorageUnavailable(failure.message) from failure

    def _ask(self) -> None:
        try:
            self._ping()
        except StorageUnavailable as error:
            self._failure = error
        else:
            self._failure = None
        self._stale_at = time.monotonic() + self._remembered
