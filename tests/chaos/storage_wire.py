"""A proxy before the storage that injects HTTP faults."""

from __future__ import annotations

import asyncio
import time

from tests.chaos.wire import Link, Sight, Wire

_BODY = b"<Error><Code>SlowDown</Code><Message>Reduce your request rate</Message></Error>"
_REFUSAL = (
    b"HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_BODY), _BODY)
)
_METHODS = (b"PUT ", b"GET ", b"HEAD ", b"DELETE ", b"POST ")


class StorageWire(Wire):
    """Answers in place of the storage while a fault is active."""

    def __init__(self, target: int) -> None:
        super().__init__(target)
        self.refusing = False
        self.refused = 0

    async def passes(self, link: Link, chunk: bytes) -> bool:
        """Refuse every request with a 503 while `refusing`."""
        if not self.refusing:
            return True
        if chunk.startswith(_METHODS):
            self.refused += 1
            link.service.write(_REFUSAL)
            await link.service.drain()
            link.service.close()
        return False

    async def drip(self, sight: Sight, seconds: float, within: float) -> float:
        """Answer the next request that `sight` matches one byte at a time, then reset it.

        No gap is long enough to trigger the SDK's timeout: only the stage deadline ends this.

        Args:
            sight: which request.
            seconds: how long to answer.
            within: seconds to wait for a request.

        Returns:
            Seconds until the sender closed the connection; 0 if no request came in time.
        """
        found = await self.catch(sight, within)
        if found is None:
            return 0.0
        trap, link = found
        link.spared = True
        began = time.monotonic()
        link.service.write(b"HTTP/1.1 200 OK\r\nX-Wait: ")
        while time.monotonic() < began + seconds and not link.service.is_closing():
            link.service.write(b".")
            await asyncio.sleep(0.5)
        trap.let_go(passes=False)
        return time.monotonic() - began
