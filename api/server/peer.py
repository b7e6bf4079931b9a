"""One connection, whose other end may be slow, silent or hostile."""

from __future__ import annotations

import select
import time
from dataclasses import dataclass
from typing import Any

from gevent import monkey

#: Seconds without a request before an idle connection is closed: longer than proxies keep theirs
#: (60 s is common), so that none sends a request to a connection that is being closed.
IDLE = 75.0


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How slow a caller may be."""

    #: Seconds for a request's headers, from their first byte.
    headers: float = 20.0
    #: Seconds before a body's rate is looked at, and the bytes per second it must then average.
    body: float = 30.0
    body_rate: float = 8192.0
    #: Seconds for each piece of an answer to be taken.
    write: float = 30.0
    #: Seconds for which a closing connection reads and drops what the caller still sends.
    linger: float = 10.0


#: Bytes of an answer that are written under one deadline.
_PIECE = 256 * 1024
_DRAINED = 64 * 1024
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


#: gevent's own `poll` would wait.
_POLL = monkey.get_original("select", "poll")


class Peer:
    """A socket with deadlines; it has what gunicorn's parser and writer use of a socket."""

    def __init__(self, sock: Any, deadlines: Deadlines) -> None:
        self._sock = sock
        self._deadlines = deadlines
        self._deadline: float | None = None
        self._in_body = False
        self._body_since = 0.0
        self._body_bytes = 0
        self._continue_wanted = False
        #: Whether the caller was cut off because a deadline passed.
        self.late = False

    def await_request(self) -> None:
        """Wait for a request from now on, at most `IDLE` seconds."""
        self._in_body, self._deadline = False, None

    def begin_body(self, *, continue_wanted: bool) -> None:
        """Expect the body from now on; a caller that wants to be asked for it is asked later."""
        self._in_body, self._body_since, self._body_bytes = True, time.monotonic(), 0
        self._continue_wanted = continue_wanted

    def recv(self, size: int) -> bytes:
        """Read at most `size` bytes; b"" at the end, and when headers come too late.

        Raises:
            TimeoutError: the body comes too slowly.
        """
        if self._in_body:
            return self._recv_body(size)
        if self._deadline is None:
            self._sock.settimeout(IDLE)
        else:
            self._sock.settimeout(max(0.001, self._deadline - time.monotonic()))
        try:
            data: bytes = self._sock.recv(size)
        except TimeoutError:
            self.late = True
            return b""
        if self._deadline is None:
            self._deadline = time.monotonic() + self._deadlines.headers
        return data

    def _recv_body(self, size: int) -> bytes:
        if self._continue_wanted:  # only now does the app want the body
            self._continue_wanted = False
            self.sendall(_CONTINUE)
        allowed = self._deadlines.body + self._body_bytes / self._deadlines.body_rate
        left = self._body_since + allowed - time.monotonic()
        if left <= 0:
            self.late = True
            raise TimeoutError("the body comes too slowly")
        self._sock.settimeout(left)
        try:
            data: bytes = self._sock.recv(size)
        except TimeoutError:
            self.late = True
            raise
        self._body_bytes += len(data)
        return data

    def sendall(self, data: bytes) -> None:
        """Write all of it.

        Raises:
            TimeoutError: the caller does not read.
        """
        self._sock.settimeout(self._deadlines.write)
        view = memoryview(data)
        for start in range(0, len(view), _PIECE):
            self._sock.sendall(view[start : start + _PIECE])

    send = sendall

    def hang_up(self, *, unless_asked: bool = False) -> None:
        """End the connection; whoever is reading from it sees its end.

        With `unless_asked`, not if a request has arrived that is still to be read.
        """
        try:
            if unless_asked and self._sock.fileno() >= 0:
                poll = _POLL()
                poll.register(self._sock.fileno(), select.POLLIN)
                if poll.poll(0):
                    return
            self._sock.shutdown(2)
        except OSError:
            return

    def close(self, *, unread: bool) -> None:
        """Close the connection, so that the caller gets the answer even while it still sends.

        With `unread` bytes, closing at once would reset the connection, and the caller's system
        would drop an answer that it had not yet read.
        """
        try:
            if unread and not self.late:
                self._linger()
        except OSError:
            pass
        finally:
            self._sock.close()

    def _linger(self) -> None:
        self._sock.shutdown(1)
        end = time.monotonic() + self._deadlines.linger
        while (left := end - time.monotonic()) > 0:
            self._sock.settimeout(left)
            if not self._sock.recv(_DRAINED):
                return

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)
