"""Notices when Redis's clock jumps forward: its time went on faster than this process's."""

from __future__ import annotations

import time


class ClockWatch:
    """Compares Redis's clock with this process's own, from one call to the next."""

    def __init__(self, slack_ms: int) -> None:
        """`slack_ms`: how much further Redis's clock may go; a call's own delay is part of it."""
        self._slack_ms = slack_ms
        self._seen: tuple[int, float] | None = None

    def latest_ms(self) -> int | None:
        """The latest that Redis's clock can show now unless it jumped; None before `saw`."""
        if self._seen is None:
            return None
        redis_ms, then = self._seen
        return redis_ms + int((time.monotonic() - then) * 1000) + self._slack_ms

    def saw(self, redis_ms: int) -> None:
        """Redis's clock showed this just now, in milliseconds."""
        self._seen = redis_ms, time.monotonic()
