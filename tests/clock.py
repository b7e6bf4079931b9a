"""Shifts Redis's clock, as the scripts see it, for one connection."""

from __future__ import annotations

import pytest

from shared.queue import scripts
from shared.queue.connection import Connection

_TIME = "local time = redis.call('TIME')\n"
_genuine = scripts.source


def shift(connection: Connection, monkeypatch: pytest.MonkeyPatch, seconds: int) -> None:
    """Let the clock be `seconds` ahead of what it is, from now on; negative: behind."""

    def shifted(name: str) -> str:
        text = _genuine(name)
        assert _TIME in text
        return text.replace(_TIME, f"{_TIME}time[1] = string.format('%.0f', time[1] + {seconds})\n")

    monkeypatch.setattr(scripts, "source", shifted)
    connection._scripts.clear()
