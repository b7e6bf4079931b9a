"""Limits on the request bodies that a process holds, in memory and in temporary files."""

from __future__ import annotations

import shutil
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import SpooledTemporaryFile
from typing import IO, Any, BinaryIO, cast

from flask import Flask, Request, request
from werkzeug.exceptions import RequestEntityTooLarge, RequestTimeout

from shared.errors import Busy

#: Bytes of JSON and form fields, which stay in memory, that a process holds at a time.
IN_MEMORY = 256 * 1024 * 1024
#: Bytes of a file that stay in memory, while few requests have a body.
_SMALL_FILE = 512 * 1024
_FEW = 256
_COPIED = 64 * 1024


class Budget:
    """Bytes held for all callers together; one address may hold half of them."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._held: Counter[str] = Counter()
        self._all = 0

    def take(self, address: str, count: int) -> None:
        """Hold `count` more bytes for an address.

        Raises:
            Busy: they are too many.
        """
        with self._lock:
            if self._all + count > self._most or self._held[address] + count > self._most // 2:
                raise Busy("too many bytes are being received; try again")
            self._all += count
            self._held[address] += count

    def give_back(self, address: str, count: int) -> None:
        """Hold `count` bytes less for an address."""
        with self._lock:
            self._all -= count
            self._held[address] -= count
            if not self._held[address]:
                del self._held[address]


class Bodies:
    """The bodies that are being received."""

    def __init__(self, most_spooled: int) -> None:
        self.memory = Budget(IN_MEMORY)
        self.spool = Budget(most_spooled)
        self.open = 0


class Receipt:
    """What is held of one body."""

    def __init__(self, bodies: Bodies, address: str) -> None:
        self._bodies = bodies
        self._address = address
        self._in_memory = self._spooled = 0
        self._files: list[IO[bytes]] = []
        bodies.open += 1

    def read(self, count: int) -> None:
        """Count bytes that were read; raises Busy if too many are held."""
        self._bodies.memory.take(self._address, count)
        self._in_memory += count

    def spooled(self, count: int) -> None:
        """Count bytes that went to a file; raises Busy if too many are held."""
        self._bodies.spool.take(self._address, count)
        self._spooled += count
        moved = min(count, self._in_memory)
        self._in_memory -= moved
        self._bodies.memory.give_back(self._address, moved)

    def file(self) -> IO[bytes]:
        """A file for a part of the body, closed with the receipt; a small one stays in memory."""
        file = _Spool(self, _SMALL_FILE if self._bodies.open <= _FEW else 1)
        self._files.append(file)
        return file

    def close(self) -> None:
        """Give back everything; to be called once."""
        self._bodies.open -= 1
        for file in self._files:
            file.close()
        self._bodies.memory.give_back(self._address, self._in_memory)
        self._bodies.spool.give_back(self._address, self._spooled)


class _Spool(SpooledTemporaryFile[bytes]):
    """A temporary file that counts what is written to it."""

    def __init__(self, receipt: Receipt, small: int) -> None:
        super().__init__(max_size=small, mode="w+b")
        self._receipt = receipt

    def write(self, data: Any) -> int:
        self._receipt.spooled(len(data))
        return super().write(data)


class _Counted:
    """A request's body that counts what is read of it."""

    def __init__(self, stream: Any, receipt: Receipt, promised: int | None) -> None:
        self._stream = stream
        self._receipt = receipt
        self._promised = promised
        self._read = 0

    def read(self, size: int = -1) -> bytes:
        try:
            data: bytes = self._stream.read(size)
        except TimeoutError as error:
            raise RequestTimeout("the body came too slowly") from error
        self._receipt.read(len(data))
        self._read += len(data)
        if not data and size and self._promised is not None and self._read < self._promised:
            raise ConnectionError("the body ended early")  # werkzeug answers it with 400
        return data

    def close(self) -> None:  # the test client's bodies are closed
        self._stream.close()


class BoundedRequest(Request):
    """A request whose body is received within the process's limits."""

    def expect_body(self, bodies: Bodies, most: int) -> None:
        """Prepare to receive the body, of at most `most` bytes; reads nothing yet.

        Raises:
            RequestEntityTooLarge: the headers say that it is longer.
        """
        self.max_content_length = most
        if self.content_length is not None and self.content_length > most:
            raise RequestEntityTooLarge
        self._receipt = Receipt(bodies, self.remote_addr or "")
        stream = self.environ["wsgi.input"]
        self.environ["wsgi.input"] = _Counted(stream, self._receipt, self.content_length)

    def forget_body(self) -> None:
        """Give back what the body holds, and close the files of its parts."""
        if self._receipt is not None:
            self._receipt.close()

    _receipt: Receipt | None = None

    @property
    def receipt(self) -> Receipt:
        """What is held of the body."""
        if self._receipt is None:
            raise RuntimeError("This is a bug: expect_body was not called")
        return self._receipt

    def _get_file_stream(
        self,
        total_content_length: int | None,  # noqa: ARG002
        content_type: str | None,  # noqa: ARG002
        filename: str | None = None,  # noqa: ARG002
        content_length: int | None = None,  # noqa: ARG002
    ) -> IO[bytes]:
        return self.receipt.file()


def install(app: Flask) -> None:
    """Give `app` bounded requests."""
    app.request_class = BoundedRequest

    @app.teardown_request
    def forget(_: BaseException | None) -> None:
        cast(BoundedRequest, request).forget_body()


def expect(bodies: Bodies, most: int) -> None:
    """As `expect_body`, for the current request."""
    cast(BoundedRequest, request).expect_body(bodies, most)


@contextmanager
def spooled() -> Iterator[BinaryIO]:
    """The current request's whole body as a file, at its start."""
    with cast(BoundedRequest, request).receipt.file() as file:
        shutil.copyfileobj(request.stream, file, _COPIED)
        file.seek(0)
        yield cast(BinaryIO, file)
