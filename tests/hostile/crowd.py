"""Callers of one server, many at a time: honest ones, and those who are slow on purpose."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

HOST = "127.0.0.1"
#: Seconds after which an honest caller gives up.
PATIENCE = 30.0


@dataclass(slots=True)
class Seen:
    """What honest callers saw: seconds until they were answered, and what went wrong."""

    live: list[float] = field(default_factory=list)
    submits: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def slowest_live(self) -> float:
        return max(self.live, default=float("nan"))

    @property
    def slowest_submit(self) -> float:
        return max(self.submits, default=float("nan"))


def form(photo: bytes, extra: str = "") -> bytes:
    """The request that submits a photo."""
    body = (
        b"--b\r\nContent-Disposition: form-data; name=image; filename=p\r\n"
        b"Content-Type: application/octet-stream\r\n\r\n" + photo + b"\r\n--b--\r\n"
    )
    head = (
        f"POST /v1/jobs HTTP/1.1\r\nHost: {HOST}\r\n{extra}"
        f"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def get(path: str, extra: str = "") -> bytes:
    """The request of a path."""
    return f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n{extra}\r\n".encode()


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """The status and body of the next answer that has a Content-Length."""
    head = await reader.readuntil(b"\r\n\r\n")
    status, length = int(head.split(b" ", 2)[1]), 0
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return status, await reader.readexactly(length)


async def _ask(
    port: int, text: bytes, pace: Callable[[], float], out: list[float], *, seen: Seen, end: float
) -> None:
    """Ask again and again on one connection, opened anew when the server has closed it."""
    while time.monotonic() < end:
        begun = time.monotonic()
        try:
            async with asyncio.timeout(PATIENCE):
                reader, writer = await asyncio.open_connection(HOST, port)
        except (TimeoutError, OSError) as error:
            seen.errors.append(f"connect: {error!r}")
            out.append(time.monotonic() - begun)
            continue
        try:
            while time.monotonic() < end:
                begun = time.monotonic()
                async with asyncio.timeout(PATIENCE):
                    writer.write(text)
                    status, _ = await answer(reader)
                out.append(time.monotonic() - begun)
                if status not in {200, 202}:
                    seen.errors.append(f"status {status}")
                await asyncio.sleep(pace())
        except TimeoutError:
            seen.errors.append("no answer")
            out.append(time.monotonic() - begun)
        except (ConnectionError, asyncio.IncompleteReadError):
            continue  # a kept connection may be closed between two requests
        finally:
            writer.close()


async def honest(
    port: int, photo: bytes, seconds: float, *, callers: int = 200, key: str = ""
) -> Seen:
    """Ask for health on `callers` kept connections, and submit on four, for so many seconds."""
    seen, end = Seen(), time.monotonic() + seconds
    paces = itertools.cycle([1.0, 1.7, 2.3, 0.6])
    health, submits = get("/health/live"), form(photo, key)
    tasks = [
        _ask(port, health, lambda: next(paces), seen.live, seen=seen, end=end)
        for _ in range(callers)
    ] + [_ask(port, submits, lambda: 0.5, seen.submits, seen=seen, end=end) for _ in range(4)]
    await asyncio.gather(*tasks)
    return seen


@dataclass(slots=True)
class Slow:
    """Slow callers, and the seconds after which the server cut each of them off."""

    begun: float = field(default_factory=time.monotonic)
    refused: int = 0
    cut_after: list[float] = field(default_factory=list)


Caller = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


@asynccontextmanager
async def crowd(port: int, count: int, act: Caller, *, window: int | None = None
                ) -> AsyncIterator[Slow]:  # fmt: skip
    """Hold `count` connections, each of which acts, while the block runs."""
    slow = Slow()

    async def one() -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                limit = 64 if window else 2**16
                reader, writer = await asyncio.open_connection(HOST, port, limit=limit)
        except (TimeoutError, OSError):
            slow.refused += 1
            return
        if window:
            writer.transport.pause_reading()  # type: ignore[attr-defined]
        try:
            await act(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()
        slow.cut_after.append(time.monotonic() - slow.begun)

    tasks = [asyncio.ensure_future(one()) for _ in range(count)]
    await asyncio.sleep(1)
    try:
        yield slow
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def idle(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    """Say nothing."""
    await reader.read()


def drip(text: bytes, every: float) -> Caller:
    """Send these bytes, then one more every so many seconds."""

    async def act(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(text)
        closed = asyncio.ensure_future(reader.read())
        try:
            while not closed.done():
                await asyncio.wait([closed], timeout=every)
                writer.write(b"a")
                await writer.drain()
        finally:
            closed.cancel()

    return act


def pipeline(text: bytes, count: int) -> Caller:
    """Ask `count` times at once and never read an answer."""

    async def act(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(text * count)
        while not writer.transport.is_closing():
            await asyncio.sleep(0.2)
            writer.write(text)
            if writer.transport.get_write_buffer_size() > 1 << 20:
                await writer.drain()

    return act
