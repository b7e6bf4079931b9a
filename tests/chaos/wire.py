"""A TCP proxy that misbehaves as networks do, between a service and Redis or the storage."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import socket
from collections.abc import Callable
from dataclasses import dataclass, field

from shared.queue import scripts

_CHUNK = 1 << 18

#: Whether a chunk from the service is what somebody waits for.
Sight = Callable[[bytes], bool]


@dataclass(eq=False)
class Link:
    """One connection through the proxy. `port` is the service's own end of it."""

    port: int
    service: asyncio.StreamWriter
    server: asyncio.StreamWriter
    severed: bool = False  # the server's end is closed, and the service is not told
    spared: bool = False  # a fault of its own is at work on it

    def reset(self) -> None:
        """Close both ends at once, what is on its way lost."""
        for writer in (self.service, self.server):
            writer.transport.abort()


@dataclass(eq=False)
class Trap:
    """Waits for a chunk that `sight` knows; holds it, and its connection, until `let_go`."""

    sight: Sight
    caught: asyncio.Future[Link] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    _opened: asyncio.Event = field(default_factory=asyncio.Event)
    _passes: bool = False

    def let_go(self, *, passes: bool) -> None:
        """Send on what is held, or drop it with its connection."""
        self._passes = passes
        self._opened.set()

    async def hold(self, link: Link) -> bool:
        """Called by the proxy with the chunk in hand; whether to send it on."""
        self.caught.set_result(link)
        await self._opened.wait()
        return self._passes


class Wire:
    """The proxy, on a loopback port of its own; everything passes until a fault says otherwise."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.links: set[Link] = set()
        self.trap: Trap | None = None
        self._server: asyncio.Server | None = None
        self._flows = asyncio.Event()
        self._flows.set()

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close everything."""
        if self._server is not None:
            self._server.close()
        for link in list(self.links):
            link.reset()

    def black_hole(self) -> None:
        """Swallow what comes, from either side, on old and new connections; nobody is told."""
        self._flows.clear()

    def surface(self) -> None:
        """Let all pass again; connections that were in the black hole are reset."""
        self.reset_all()
        self._flows.set()

    def halve(self) -> int:
        """Half-open every connection: the server's end is gone, and the service's stays silent."""
        for link in self.links:
            link.severed = True
            link.server.transport.abort()
        return len(self.links)

    def reset_all(self) -> None:
        """Reset every connection."""
        for link in list(self.links):
            if not link.spared:
                link.reset()

    async def catch(self, sight: Sight, seconds: float) -> tuple[Trap, Link] | None:
        """Hold the next chunk that `sight` knows; None where none comes in time."""
        trap = self.trap = Trap(sight)
        try:
            return trap, await asyncio.wait_for(asyncio.shield(trap.caught), seconds)
        except TimeoutError:
            return None
        finally:
            self.trap = None

    async def _serve(
        self, from_service: asyncio.StreamReader, to_service: asyncio.StreamWriter
    ) -> None:
        await self._flows.wait()
        try:
            from_server, to_server = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            to_service.transport.abort()
            return
        for writer in (to_service, to_server):
            writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link = Link(to_service.get_extra_info("peername")[1], to_service, to_server)
        self.links.add(link)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._upward(link, from_service))
                both.create_task(self._downward(link, from_server))
        except* OSError:
            pass
        finally:
            self.links.discard(link)
            link.reset()

    async def _upward(self, link: Link, reader: asyncio.StreamReader) -> None:
        while chunk := await reader.read(_CHUNK):
            if link.severed:
                continue
            trap = self.trap
            if trap is not None and not trap.caught.done() and trap.sight(chunk):
                if not await trap.hold(link):
                    break
            elif not await self.passes(link, chunk):
                continue
            if self._flows.is_set():
                link.server.write(chunk)
                await link.server.drain()
        if not link.severed:
            link.reset()

    async def _downward(self, link: Link, reader: asyncio.StreamReader) -> None:
        while chunk := await reader.read(_CHUNK):
            if self._flows.is_set():
                link.service.write(chunk)
                with contextlib.suppress(OSError):
                    await link.service.drain()
        if not link.severed:
            link.service.close()

    async def passes(self, link: Link, chunk: bytes) -> bool:  # noqa: ARG002
        """Whether a chunk from the service goes on to the server."""
        return True


def runs(script: str) -> Sight:
    """Sees a service run one of the queue's Lua scripts."""
    digest = hashlib.sha1(scripts.source(script).encode()).hexdigest().encode()  # as EVALSHA
    return lambda chunk: digest in chunk


def rings(chunk: bytes) -> bool:
    """Sees a doorbell being rung on a lane of new jobs."""
    return b"LPUSH" in chunk and b"nukki." in chunk


def puts(name: str) -> Sight:
    """Sees a file of that name being stored."""
    ending = f"/{name} HTTP/1.1".encode()
    return lambda chunk: chunk.startswith(b"PUT ") and ending in chunk[:400]
