"""The photos that are submitted, and the server for photos given by URL."""

from __future__ import annotations

import asyncio
import io
import random
from dataclasses import dataclass

import numpy as np
from PIL import Image

from tests.chaos.plan import DEADLY, HANGING

#: Most seconds to serve a photo: long enough for its job to be deleted meanwhile.
_SLOWEST = 0.8


@dataclass(frozen=True, slots=True)
class Photo:
    """A small photo; `fails` is the expected error code if its job cannot succeed."""

    name: str
    data: bytes
    fails: str | None = None


def draw(name: str, width: int, height: int, rng: random.Random, fails: str | None = None) -> Photo:
    """A JPEG of coarse noise, `width` × `height` pixels; each photo gives different results."""
    noise = np.random.default_rng(rng.getrandbits(32)).integers(0, 256, (8, 8, 3), np.uint8)
    data = io.BytesIO()
    Image.fromarray(noise).resize((width, height), Image.Resampling.BILINEAR).save(data, "JPEG")
    return Photo(name, data.getvalue(), fails)


def good(rng: random.Random, count: int = 8) -> list[Photo]:
    """`count` photos whose jobs succeed."""
    return [draw(f"photo {n}", 64 + 8 * n, 48 + 8 * n, rng) for n in range(count)]


def deadly(rng: random.Random) -> Photo:
    """A photo that always kills the worker process."""
    return draw("deadly", DEADLY, 40, rng, "poisoned")


def hanging(rng: random.Random) -> Photo:
    """A photo that always hangs the device."""
    return draw("hanging", HANGING, 40, rng, "poisoned")


class PhotoServer:
    """Serves photos on loopback, each after a random delay."""

    def __init__(self, photos: list[Photo], rng: random.Random) -> None:
        self._photos = {photo.name.replace(" ", "-"): photo.data for photo in photos}
        self._rng = rng
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)

    def stop(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()

    def url_of(self, photo: Photo) -> str:
        """The URL of a photo.

        Raises:
            RuntimeError: the server is not started.
        """
        if self._server is None:
            raise RuntimeError("not started")
        port = self._server.sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}/{photo.name.replace(' ', '-')}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            data = self._photos[head.split(b" ")[1].decode().strip("/")]
            await asyncio.sleep(_SLOWEST * self._rng.random())
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nConnection: close\r\n"
                b"Content-Length: %d\r\n\r\n%s" % (len(data), data)
            )
            await writer.drain()
        except (asyncio.IncompleteReadError, OSError):  # its worker was killed
            pass
        finally:
            writer.close()
