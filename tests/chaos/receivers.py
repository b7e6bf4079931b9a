"""Webhook receivers on loopback that answer well or badly."""

from __future__ import annotations

import asyncio
import json
from enum import StrEnum

from standardwebhooks import Webhook, WebhookVerificationError

from tests.chaos.ledger import Ledger
from tests.chaos.plan import WEBHOOK_TIMEOUT
from tests.chaos.services import SECRET


class Manner(StrEnum):
    """How a receiver answers."""

    WELL = "well"
    FAILING = "failing"  # 500
    HANGING = "hanging"  # never
    LATE = "late"  # after the sender's timeout
    TWICE = "twice"  # two answers to one request
    BREAKING = "breaking"  # reads the message, then drops the connection


class Receiver:
    """One receiver; it records every message it reads, whatever it answers."""

    def __init__(self, ledger: Ledger) -> None:
        self.manner = Manner.WELL
        self.received = 0
        self.misanswered = 0
        self._ledger = ledger
        self._server: asyncio.Server | None = None
        self._webhook = Webhook(SECRET)

    @property
    def url(self) -> str:
        if self._server is None:
            raise RuntimeError("not started")
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/hook"

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)

    def stop(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode("latin-1").split("\r\n")[1:]
                headers = {
                    name.lower(): value.strip()
                    for name, colon, value in (line.partition(":") for line in lines)
                    if colon
                }
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                self._note(headers, body)
                if not await self._answer(writer):
                    break
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()

    def _note(self, headers: dict[str, str], body: bytes) -> None:
        self.received += 1
        try:
            self._webhook.verify(body, headers)
        except WebhookVerificationError as error:
            self._ledger.wrong("webhook that does not verify", str(error))
            return
        message = json.loads(body)
        data = message["data"]
        self._ledger.tell(data["metadata"]["n"], data["id"], headers["webhook-id"], message["type"])

    async def _answer(self, writer: asyncio.StreamWriter) -> bool:
        """Answer in this receiver's manner; returns whether the connection stays open."""
        manner = self.manner
        if manner is not Manner.WELL:
            self.misanswered += 1
        status, times = b"204 No Content", 1
        match manner:
            case Manner.FAILING:
                status = b"500 Internal Server Error"
            case Manner.HANGING:
                await asyncio.sleep(5 * WEBHOOK_TIMEOUT)
                return False
            case Manner.LATE:
                await asyncio.sleep(1.3 * WEBHOOK_TIMEOUT)
            case Manner.BREAKING:
                writer.transport.abort()
                return False
            case Manner.TWICE:
                times = 2
        writer.write((b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n") * times)
        await writer.drain()
        return True
