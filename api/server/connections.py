"""The connections of one process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from api.server.peer import Peer


class Connections:
    """The open connections, and which of them wait for a request, longest first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open = 0
        self._idle: dict[Peer, None] = {}

    def __len__(self) -> int:
        return self._open

    @contextmanager
    def joined(self) -> Iterator[None]:
        """Count a connection while the block runs; if there are too many, an idle one is closed."""
        self._open += 1
        self._make_room()
        try:
            yield
        finally:
            self._open -= 1

    @contextmanager
    def idle(self, peer: Peer) -> Iterator[None]:
        """Count a connection as idle while the block runs."""
        self._idle[peer] = None
        self._make_room()
        try:
            yield
        finally:
            self._idle.pop(peer, None)

    def _make_room(self) -> None:
        if self._open > self._most and self._idle:
            oldest = next(iter(self._idle))
            del self._idle[oldest]
            oldest.hang_up()

    def hang_up_idle(self) -> None:
        """Close every idle connection on which no request has arrived."""
        for peer in list(self._idle):
            peer.hang_up(unless_asked=True)
