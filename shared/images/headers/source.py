"""Bytes by offset: of a whole file, of a stream, or of the first part of a longer file."""

from __future__ import annotations

import io
from typing import IO


class CutShort(Exception):
    """The parser needs more bytes than there are."""


class ByteSource:
    """Bytes by offset. A read beyond the end raises `CutShort` and allocates nothing.

    Attributes:
        size: number of bytes available.
        partial: whether the file continues after them.
    """

    def __init__(self, data: IO[bytes] | bytes, *, partial: bool = False) -> None:
        self._stream = io.BytesIO(data) if isinstance(data, bytes) else data
        self._stream.seek(0, io.SEEK_END)
        self.size = self._stream.tell()
        self.partial = partial

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset`."""
        self.require(offset + length)
        self._stream.seek(offset)
        found = self._stream.read(length)
        if len(found) != length:
            raise CutShort
        return found

    def head(self, length: int, offset: int = 0) -> bytes:
        """Up to `length` bytes from `offset`, fewer where the source ends."""
        self._stream.seek(offset)
        return self._stream.read(length)

    def require(self, end: int) -> None:
        """Raise `CutShort` unless there are bytes up to `end`."""
        if end > self.size:
            raise CutShort

    def rewind(self) -> None:
        """Move the stream back to its start."""
        self._stream.seek(0)
