"""AVIF: size and orientation of its main picture, from the boxes of its header."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

from shared.errors import ImageInvalid
from shared.images.headers import items
from shared.images.headers.boxes import MAX_META, associations, boxes, children, item_number
from shared.images.headers.info import ImageInfo
from shared.images.headers.source import ByteSource, CutShort

_TWICE = "The AVIF's header has something twice that may be there once."
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
    """The header of an AVIF; `meta` is the start and end of its metadata box's payload."""

    info: ImageInfo
    meta: tuple[int, int]

    def without_metadata(self, data: bytes) -> bytes:
        """The same picture with its EXIF block renamed, so that no decoder tries to read it."""
        start, end = self.meta
        meta = data[start:end]
        if b"Exif" not in meta:
            return data
        return b"".join([data[:start], meta.replace(b"Exif", b"none"), memoryview(data)[end:]])


def read(source: ByteSource) -> Avif:
    """Read the main picture's properties, and hold the bitstreams to them.

    Raises:
        ImageInvalid: it has none, they are damaged, or the bitstreams are of another size.
        CutShort: the file ends before them; if it is not partial, inside any box.
    """
    places: dict[bytes, tuple[int, int]] = {}
    try:
        for name, start, end in boxes(source):
            if name in {b"meta", b"moov"}:
                if name in places:
                    raise ImageInvalid(_TWICE)
                places[name] = (start, end)
            if b"meta" in places and source.partial:
                break
    except CutShort:
        if b"meta" not in places or not source.partial:
            raise
    if b"meta" not in places:
        if source.partial:
            raise CutShort
        raise ImageInvalid("The AVIF has no picture in its header.")
    body = _header(source, places[b"meta"])
    try:
        size, turn, channels, bits = _main_picture(source, body)
        if not source.partial:
            items.require_size(source, body, size)
            if b"moov" in places:
                items.require_track_size(source, _header(source, places[b"moov"]), size)
    except (struct.error, CutShort, IndexError) as error:
        raise ImageInvalid("The AVIF's header is damaged.") from error
    sequence = source.read(8, 4) == b"avis"
    info = ImageInfo.stored(
        "avif", size, turn, frames=None if sequence else 1, bits=bits, channels=channels
    )
    return Avif(info, places[b"meta"])


def _header(source: ByteSource, place: tuple[int, int]) -> bytes:
    start, end = place
    if end - start > MAX_META:
        raise ImageInvalid("The AVIF's header is of impossible length.")
    return source.read(start, end - start)


def _main_picture(source: ByteSource, meta: bytes) -> tuple[tuple[int, int], int, int, int]:
    """Size, orientation, channels and bits of the item that the header names as the main one."""
    parts = dict(children(source, meta, 4))
    properties = dict(children(source, parts.get(b"iprp", b"")))
    every = children(source, properties.get(b"ipco", b""))
    places = associations(properties.get(b"ipma", b"")).get(
        item_number(parts.get(b"pitm", b"")), []
    )
    mine = dict(every[place - 1] for place in places if place)
    if b"ispe" not in mine:
        raise ImageInvalid("The AVIF does not say the size of its picture.")
    width, height = struct.unpack_from(">LL", mine[b"ispe"], 4)
    turns = mine[b"irot"][0] & 3 if b"irot" in mine else 0
    axis = mine[b"imir"][0] & 1 if b"imir" in mine else None
    depths = mine[b"pixi"][5:] if b"pixi" in mine else b"\x08\x08\x08"
    alpha = any(name == b"auxC" and _ALPHA.search(body) for name, body in every)
    return (width, height), _ORIENTATION[turns, axis], len(depths) + alpha, max(depths)
