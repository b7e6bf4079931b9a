"""Bytes by offset: of a whole file, of a stream, or of the first part of a longer file."""

from __future__ import annotations

import bisect
import io
import itertools
from typing import IO

from shared.errors import ImageInvalid

#: Reads per file, with those inside its boxes: a PNG of 50 MB has 12,500 chunks at most, if an
#: ordinary encoder wrote it. In Python this many take 40 ms.
MAX_READS = 16_000


class CutShort(Exception):
    """The parser needs more bytes than there are."""


class ByteSource:
    """Bytes by offset. A read beyond the end raises `CutShort` and allocates nothing.

    After `MAX_READS` reads, another raises `ImageInvalid`: whatever a file repeats, the work that
    it makes is bounded.

    Attributes:
        size: number of bytes available.
        partial: whether the file continues after them.
    """

    def __init__(self, data: IO[bytes] | bytes, *, partial: bool = False) -> None:
        self._stream = io.BytesIO(data) if isinstance(data, bytes) else data
        self._stream.seek(0, io.SEEK_END)
        self.size = self._stream.tell()
        self.partial = partial
        self._reads = [0]  # shared with the sources made from this one

    def part(self, data: bytes) -> ByteSource:
        """Some of this source's bytes as a source; what is read there counts here too."""
        made = ByteSource(data)
        made._reads = self._reads
        return made

    @property
    def reads(self) -> int:
        """How many reads there were."""
        return self._reads[0]

    def _count(self) -> None:
        self._reads[0] += 1
        if self._reads[0] > MAX_READS:
            raise ImageInvalid(f"The file's header has more than {MAX_READS:,} parts.")

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset`."""
        self._count()
        self.require(offset + length)
        self._stream.seek(offset)
        found = self._stream.read(length)
        if len(found) != length:
            raise CutShort
        return found

    def head(self, length: int, offset: int = 0) -> bytes:
        """Up to `length` bytes from `offset`, fewer where the source ends."""
        self._count()
        self._stream.seek(offset)
        return self._stream.read(length)

    def require(self, end: int) -> None:
        """Raise `CutShort` unless there are bytes up to `end`."""
        if end > self.size:
            raise CutShort

    def rewind(self) -> None:
        """Move the stream back to its start."""
        self._stream.seek(0)


class Pieces(ByteSource):
    """Bytes that lie in several places of a source, as one; nothing is copied but what is read."""

    def __init__(self, source: ByteSource, places: list[tuple[int, int]]) -> None:
        super().__init__(b"")
        self._source = source
        self._places = places
        self._starts = [0, *itertools.accumulate(length for _, length in places)]
        self.size = self._starts.pop()

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset`."""
        self.require(offset + length)
        found = b""
        index = max(0, bisect.bisect_right(self._starts, offset) - 1)
        while len(found) < length:
            place, available = self._places[index]
            skipped = offset + len(found) - self._starts[index]
            found += self._source.read(
                place + skipped, min(available - skipped, length - len(found))
            )
            index += 1
        return found
