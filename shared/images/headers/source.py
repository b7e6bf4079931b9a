"""Random access to a file that may be held whole, be a stream, or be only the head of a file."""

from __future__ import annotations

import io
from typing import IO


class CutShort(Exception):
    """More bytes are needed than there are."""


class Source:
    """Bytes by offset; asking for any beyond the end raises `CutShort`.

    Attributes:
        size: how many bytes there are.
        partial: whether the file goes on after them.
    """

    def __init__(self, data: IO[bytes] | bytes, *, partial: bool = False) -> None:
        self._stream = io.BytesIO(data) if isinstance(data, bytes) else data
        self._stream.seek(0, io.SEEK_END)
        self.size = self._stream.tell()
        self.partial = partial

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset`."""
        if offset + length > self.size:
            raise CutShort
        self._stream.seek(offset)
        found = self._stream.read(length)
        if len(found) != length:
            raise CutShort
        return found

    def head(self, length: int, offset: int = 0) -> bytes:
        """At most `length` bytes from `offset`."""
        self._stream.seek(offset)
        return self._stream.read(length)

    def require(self, end: int) -> None:
        """Raise `CutShort` unless the file reaches `end`."""
        if end > self.size:
            raise CutShort

    def rewind(self) -> None:
        """Put the stream back to its start."""
        self._stream.seek(0)
