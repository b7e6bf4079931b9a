"""DNS look-ups with a timeout, which the system's resolver lacks."""

from __future__ import annotations

import socket
import threading
import time
from dataclasses import dataclass, field

from shared.errors import UrlUnavailable

#: Look-ups at once. One that hangs keeps its place after its caller has given up.
PLACES = 128
_free = threading.BoundedSemaphore(PLACES)


@dataclass
class _Lookup:
    """A look-up on its own thread, a daemon, so that it does not delay the process's exit."""

    host: str
    port: int
    addresses: list[str] = field(default_factory=list)
    failure: Exception | None = None
    done: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        try:
            answers = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
            self.addresses = [str(answer[4][0]) for answer in answers]
        except Exception as error:  # noqa: BLE001  # raised again in the caller's thread
            self.failure = error
        finally:
            _free.release()
            self.done.set()


def look_up(host: str, port: int, *, timeout: float) -> list[str]:
    """Find the host's addresses.

    Raises:
        UrlUnavailable: the host has no address, or none was found in time.
    """
    deadline = time.monotonic() + timeout
    if not _free.acquire(timeout=max(0.0, timeout)):
        raise UrlUnavailable(f"{host} was not looked up in time")
    lookup = _Lookup(host, port)
    threading.Thread(target=lookup.run, daemon=True, name="look-up").start()
    if not lookup.done.wait(max(0.0, deadline - time.monotonic())):
        raise UrlUnavailable(f"{host} was not looked up in time")
    if isinstance(lookup.failure, OSError | UnicodeError):
        raise UrlUnavailable(f"{host} has no address") from lookup.failure
    if lookup.failure is not None:
        raise lookup.failure
    return lookup.addresses
