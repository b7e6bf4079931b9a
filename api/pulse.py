"""Whether the storage answers: asked for all requests together, and remembered for a moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from shared.errors import StorageUnavailable

#: Seconds for which an answer counts: a caller who is turned away is told to come back after two.
REMEMBERED = 1.0


class Pulse:
    """A probe that however many requests share, so that none but one a second pays for it."""

    def __init__(self, ping: Callable[[], None], *, remembered: float = REMEMBERED) -> None:
        """Ask nothing yet.

        Args:
            ping: raises StorageUnavailable unless the storage answers, and soon.
            remembered: seconds for which its answer counts, good or bad.
        """
        self._ping = ping
        self._remembered = remembered
        self._failure: StorageUnavailable | None = None
        self._stale_at = 0.0
        self._asking = threading.Lock()

    def require(self) -> None:
        """Raise StorageUnavailable unless the storage answered just now.

        Those who come while another asks wait for that answer, and take it as theirs.
        """
        if time.monotonic() >= self._stale_at:
            with self._asking:
                if time.monotonic() >= self._stale_at:
                    self._ask()
        failure = self._failure
        if failure is not None:  # each its own: a traceback is not to be shared by threads
            raise StorageUnavailable(failure.message) from failure

    def _ask(self) -> None:
        try:
            self._ping()
        except StorageUnavailable as error:
            self._failure = error
        else:
            self._failure = None
        self._stale_at = time.monotonic() + self._remembered
