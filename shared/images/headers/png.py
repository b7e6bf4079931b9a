"""PNG: its chunks."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import NamedTuple

from shared.errors import ImageInvalid
from shared.images.headers import exif
from shared.images.headers.info import ImageInfo
from shared.images.headers.source import ByteSource, CutShort

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
#: Colour type to (channels, allowed bit depths).
_COLOURS = {
    0: (1, {1, 2, 4, 8, 16}),
    2: (3, {8, 16}),
    3: (1, {1, 2, 4, 8}),
    4: (2, {8, 16}),
    6: (4, {8, 16}),
}
_PIXEL_CHUNKS = {b"IHDR", b"PLTE", b"IDAT", b"IEND"}
_MAX_EXIF = 1 << 20
_MAX_PROFILE = 1 << 24


class Chunk(NamedTuple):
    """A chunk's payload, from `start` to `end`; a checksum of four bytes follows it."""

    name: bytes
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Png:
    """The header of a PNG: its chunks in file order, and its colour type."""

    info: ImageInfo
    chunks: tuple[Chunk, ...]
    colour: int

    def profile(self, data: bytes) -> bytes | None:
        """The ICC profile, at most 16 MiB of it; None where there is none.

        Raises:
            ValueError: it cannot be unpacked.
        """
        for chunk in self.chunks:
            if chunk.name == b"iCCP":
                _, separator, packed = data[chunk.start : chunk.end].partition(b"\0")
                if not separator or packed[:1] != b"\0":
                    raise ValueError("the profile's packing is not known")
                try:
                    return zlib.decompressobj().decompress(packed[1:], _MAX_PROFILE)
                except zlib.error as error:
                    raise ValueError("the profile cannot be unpacked") from error
        return None

    def transparent_colour(self, data: bytes) -> tuple[int, ...] | None:
        """The one colour that a gray or RGB image shows as transparent, in its samples' scale."""
        channels = {0: 1, 2: 3}.get(self.colour, 0)
        full = (1 << self.info.bits) - 1
        for chunk in self.chunks:
            if channels and chunk.name == b"tRNS" and chunk.end - chunk.start >= 2 * channels:
                values = struct.unpack_from(f">{channels}H", data, chunk.start)
                # Samples of fewer than 8 bits are decoded to 0–255.
                scale = max(1, 255 // full)
                return tuple((value & full) * scale for value in values)
        return None

    def pixels_only(self, data: bytes) -> bytes:
        """The same picture with only the chunks that its pixels need; libpng checks their sums.

        Decoders refuse sound pictures because of a damaged profile, a long text or a wrong
        animation header. `tRNS` is kept for a palette only: the one colour that it names in other
        images is `transparent_colour`'s work.

        Raises:
            ImageInvalid: there are no pixels.
        """
        names = _PIXEL_CHUNKS | ({b"tRNS"} if self.colour == 3 else set())
        kept = [chunk for chunk in self.chunks if chunk.name in names]
        if not any(chunk.name == b"IDAT" for chunk in kept):
            raise ImageInvalid("The PNG has no pixels.")
        view = memoryview(data)
        return b"".join([_SIGNATURE, *(view[chunk.start - 8 : chunk.end + 4] for chunk in kept)])


def read(source: ByteSource) -> Png:
    """Read all the chunks of a file, or those that a partial one has.

    Raises:
        ImageInvalid: the header is impossible.
        CutShort: the file ends before its header; if it is not partial, before its end chunk.
    """
    width, height, bits, colour = _header(source)
    chunks: list[Chunk] = []
    turn: int | None = None
    frames = 1
    try:
        at = len(_SIGNATURE)
        while not chunks or chunks[-1].name != b"IEND":
            chunk = _chunk(source, at)
            if chunk.name == b"IHDR" and chunks:
                raise ImageInvalid("The PNG has two headers.")  # decoders differ on which counts
            chunks.append(chunk)
            at = chunk.end + 4
            if chunk.name == b"eXIf" and turn is None:
                turn = exif.orientation(
                    source.read(chunk.start, min(chunk.end - chunk.start, _MAX_EXIF))
                )
            elif chunk.name == b"acTL" and chunk.end - chunk.start >= 4:
                frames = max(1, int.from_bytes(source.read(chunk.start, 4)))
        turn = turn or 1
    except CutShort:
        if not source.partial:
            raise
    info = ImageInfo.stored(
        "png", (width, height), turn, frames=frames, bits=bits, channels=_COLOURS[colour][0]
    )
    return Png(info, tuple(chunks), colour)


def _header(source: ByteSource) -> tuple[int, int, int, int]:
    """Width, height, bit depth and colour type."""
    if source.read(8, 8) != b"\0\0\0\x0dIHDR":
        raise ImageInvalid("The PNG does not begin with its header.")
    width, height, bits, colour = struct.unpack(">LLBB", source.read(16, 10))
    if colour not in _COLOURS or bits not in _COLOURS[colour][1]:
        raise ImageInvalid(
            f"The PNG claims {bits} bits in colour type {colour}, which does not exist."
        )
    return width, height, bits, colour


def _chunk(source: ByteSource, at: int) -> Chunk:
    length, name = struct.unpack(">L4s", source.read(at, 8))
    if not name.isalpha():
        raise ImageInvalid("The PNG is damaged: a chunk's name is not readable.")
    source.require(at + 12 + length)
    return Chunk(name, at + 8, at + 8 + length)
