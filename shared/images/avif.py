"""AVIF: the size and the turn of its main picture, from the boxes of its header."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from shared.errors import ImageInvalid
from shared.images.info import ImageInfo
from shared.images.source import CutShort, Source

_MAX_BOXES = 10_000
_MAX_META = 1 << 24
_ALPHA = re.compile(rb":alpha|:auxid:1\\b")

#: (quarter turns anticlockwise, mirror axis or None) to EXIF orientation, rotated then mirrored.
_ORIENTATION = {
    (0, None): 1,
    (1, None): 8,
    (2, None): 3,
    (3, None): 6,
    (0, 0): 4,
    (0, 1): 2,
    (1, 0): 5,
    (1, 1): 7,
    (2, 0): 2,
    (2, 1): 4,
    (3, 0): 7,
    (3, 1): 5,
}


@dataclass(frozen=True, slots=True)
class Avif:
    """An AVIF; `meta` is where its metadata box lies, start and end."""

    info: ImageInfo
    meta: tuple[int, int]


def read(source: Source) -> Avif:
    """The main picture's properties.

    Raises:
        ImageInvalid: it has none, or they are damaged.
        CutShort: the file ends before them; or, if not partial, in the middle of a box.
    """
    meta: tuple[int, int] | None = None
    try:
        for name, start, end in _boxes(source):
            if name == b"meta" and meta is None:
                meta = (start, end)
            if meta is not None and source.partial:
                break
    except CutShort:
        if meta is None or not source.partial:
            raise
    if meta is None:
        if source.partial:
            raise CutShort
        raise ImageInvalid("The AVIF has no picture in its header.")
    if meta[1] - meta[0] > _MAX_META:
        raise ImageInvalid("The AVIF's header is of impossible length.")
    body = source.read(meta[0], meta[1] - meta[0])
    try:
        size, turn, channels, bits = _main_picture(body)
    except (struct.error, CutShort, IndexError) as error:
        raise ImageInvalid("The AVIF's header is damaged.") from error
    sequence = source.read(8, 4) == b"avis"
    info = ImageInfo.stored(
        "avif", size, turn, frames=None if sequence else 1, bits=bits, channels=channels
    )
    return Avif(info, meta)


def without_metadata(data: bytes, avif: Avif) -> bytes:
    """The same picture with its EXIF block renamed, so that no decoder tries to read it."""
    start, end = avif.meta
    meta = data[start:end]
    if b"Exif" not in meta:
        return data
    return b"".join([data[:start], meta.replace(b"Exif", b"none"), memoryview(data)[end:]])


def _boxes(source: Source, at: int = 0) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and end of the payload of each box on this level."""
    for _ in range(_MAX_BOXES):
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


def _children(body: bytes, skip: int = 0) -> list[tuple[bytes, bytes]]:
    return [(name, body[start:end]) for name, start, end in _boxes(Source(body), skip)]


def _main_picture(meta: bytes) -> tuple[tuple[int, int], int, int, int]:
    """Size, orientation, channels and bits of the item that the header calls the main one."""
    boxes = dict(_children(meta, 4))
    properties = dict(_children(boxes.get(b"iprp", b"")))
    every = _children(properties.get(b"ipco", b""))
    places = _associations(properties.get(b"ipma", b"")).get(_item(boxes.get(b"pitm", b"")), [])
    mine = dict(every[place - 1] for place in places if place)
    if b"ispe" not in mine:
        raise ImageInvalid("The AVIF does not tell the size of its picture.")
    width, height = struct.unpack_from(">LL", mine[b"ispe"], 4)
    turns = mine[b"irot"][0] & 3 if b"irot" in mine else 0
    axis = mine[b"imir"][0] & 1 if b"imir" in mine else None
    depths = mine[b"pixi"][5:] if b"pixi" in mine else b"\x08\x08\x08"
    alpha = any(name == b"auxC" and _ALPHA.search(body) for name, body in every)
    return (width, height), _ORIENTATION[turns, axis], len(depths) + alpha, max(depths)


def _item(box: bytes) -> int:
    """An item number, of 2 bytes or (version 1) 4."""
    return int(struct.unpack_from(">L" if box[0] else ">H", box, 4)[0])


def _associations(box: bytes) -> dict[int, list[int]]:
    """Item number to the (one-based) places of its properties."""
    if not box:
        return {}
    version, wide = box[0], box[3] & 1
    (count,) = struct.unpack_from(">L", box, 4)
    at = 8
    found: dict[int, list[int]] = {}
    for _ in range(min(count, _MAX_BOXES)):
        (item,) = struct.unpack_from(">H" if version < 1 else ">L", box, at)
        at += 2 if version < 1 else 4
        amount = box[at]
        at += 1
        codes = struct.unpack_from(f">{amount}{'H' if wide else 'B'}", box, at)
        at += amount * (2 if wide else 1)
        found[item] = [code & (0x7FFF if wide else 0x7F) for code in codes]
    return found
