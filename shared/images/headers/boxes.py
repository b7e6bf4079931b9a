"""The boxes of an ISO base media file (ISO/IEC 14496-12), the container of AVIF."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from shared.errors import ImageInvalid
from shared.images.headers.source import ByteSource

#: Boxes side by side, and entries of a table.
MAX_BOXES = 4_096
#: The largest metadata box read, in bytes. It may hold a colour profile; pictures are elsewhere.
MAX_META = 1 << 21


def boxes(source: ByteSource, at: int = 0) -> Iterator[tuple[bytes, int, int]]:
    """Name, payload start and payload end of each box on this level, from `at` to the end."""
    for _ in range(MAX_BOXES):
        if at == source.size:
            return
        length, name = struct.unpack(">L4s", source.read(at, 8))
        header = 8
        if length == 1:
            length, header = int.from_bytes(source.read(at + 8, 8)), 16
        elif length == 0:
            length = source.size - at
        if length < header:
            raise ImageInvalid("The AVIF has a box of impossible length.")
        source.require(at + length)
        yield name, at + header, at + length
        at += length
    raise ImageInvalid("The AVIF has too many boxes.")


def children(source: ByteSource, body: bytes, skip: int = 0) -> list[tuple[bytes, bytes]]:
    """Name and payload of each box inside a payload of this source, after `skip` bytes."""
    return [(name, body[start:end]) for name, start, end in boxes(source.part(body), skip)]


def item_number(box: bytes) -> int:
    """An item number, of 2 bytes or (in version 1) 4."""
    return int(struct.unpack_from(">L" if box[0] else ">H", box, 4)[0])


def associations(box: bytes) -> dict[int, list[int]]:
    """Item number to the one-based indices of its properties."""
    if not box:
        return {}
    version, wide = box[0], box[3] & 1
    (count,) = struct.unpack_from(">L", box, 4)
    at = 8
    found: dict[int, list[int]] = {}
    if count > MAX_BOXES:
        raise ImageInvalid("The AVIF has too many parts.")
    for _ in range(count):
        (item,) = struct.unpack_from(">H" if version < 1 else ">L", box, at)
        at += 2 if version < 1 else 4
        amount = box[at]
        at += 1
        codes = struct.unpack_from(f">{amount}{'H' if wide else 'B'}", box, at)
        at += amount * (2 if wide else 1)
        found[item] = [code & (0x7FFF if wide else 0x7F) for code in codes]
    return found
