"""A TCP proxy before Redis or the storage that injects network faults."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import socket
from collections.abc import Callable
from dataclasses import dataclass, field

from shared.queue import scripts

_CHUNK = 1 << 18

#: Whether a chunk from the service matches.
Sight = Callable[[bytes], bool]


@dataclass(eq=False)
class Link:
    """One connection through the proxy; `port` is the service's port."""

    port: int
    service: asyncio.StreamWriter
    server: asyncio.StreamWriter
    severed: bool = False  # the server's end is closed, the service's is still open
    spared: bool = False  # another fault is using it

    def reset(self) -> None:
        """Abort both ends at once; data in transit is lost."""
        for writer in (self.service, self.server):
            writer.transport.abort()


@dataclass(eq=False)
class Trap:
    """Holds the first chunk that `sight` matches, and its connection, until `let_go`."""

    sight: Sight
    caught: asyncio.Future[Link] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    _opened: asyncio.Event = field(default_factory=asyncio.Event)
    _passes: bool = False

    def let_go(self, *, passes: bool) -> None:
        """Forward the held chunk, or drop it with its connection."""
        self._passes = passes
        self._opened.set()

    async def hold(self, link: Link) -> bool:
        """Hold the chunk for the proxy; returns whether to forward it."""
        self.caught.set_result(link)
        await self._opened.wait()
        return self._passes


class Wire:
    """The proxy, on its own loopback port; forwards everything until a fault is injected."""

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
        """Silently drop data in both directions, on old and new connections."""
        self._flows.clear()

    def surface(self) -> None:
        """Forward again; connections that lost data are reset."""
        self.reset_all()
        self._flows.set()

    def halve(self) -> int:
        """Half-open every connection: close the server's end only; returns how many."""
        for link in self.links:
            link.severed = True
            link.server.transport.abort()
        return len(self.links)

    def reset_all(self) -> None:
        """Reset every connection that is not `spared`."""
        for link in list(self.links):
            if not link.spared:
                link.reset()

    async def catch(self, sight: Sight, seconds: float) -> tuple[Trap, Link] | None:
        """Hold the next chunk that `sight` matches; None if none comes within `seconds`."""
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
        """Whether to forward a chunk from the service to the server."""
        return True


def runs(script: str) -> Sight:
    """Match a call of one of the queue's Lua scripts."""
    digest = hashlib.sha1(scripts.source(script).encode()).hexdigest().encode()  # as EVALSHA
    return lambda chunk: digest in chunk


def rings(chunk: bytes) -> bool:
    """Match a doorbell message being pushed to a lane's queue."""
    return b"LPUSH" in chunk and b"nukki." in chunk


def puts(name: str) -> Sight:
    """Match a PUT of a file with this name."""
    ending = f"/{name} HTTP/1.1".encode()
    return lambda chunk: chunk.startswith(b"PUT ") and ending in chunk[:400]
