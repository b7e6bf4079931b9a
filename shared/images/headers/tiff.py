"""TIFF: its first directory of tags."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from shared.errors import ImageInvalid, ImageUnsupported
from shared.images.headers.info import ImageInfo
from shared.images.headers.source import CutShort, Source

SUBFILE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 254, 256, 257, 258, 259, 262
ORIENTATION, SAMPLES, TILE_WIDTH, TILE_HEIGHT = 274, 277, 322, 323
SUB_DIRECTORIES, PROFILE, DNG_VERSION = 330, 34675, 50706

WHITE_IS_ZERO, LAB = 0, 8

#: The tags that decoders need for the pixels, and no others.
_PIXEL_TAGS = {
    *(256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 292, 293, 317, 320),
    *range(322, 326),
    *(338, 339, 347),
    *range(512, 522),
    *range(529, 533),
}
#: Those of them that have one value, by the standard.
_SINGLE_TAGS = {256, 257, 259, 262, 266, 277, 278, 284, 292, 293, 317, 322, 323, 531} | {
    *range(512, 516)
}
#: Field type to (bytes, struct code); what is not here is never read as numbers.
_TYPES = {1: (1, "B"), 2: (1, "B"), 3: (2, "H"), 4: (4, "L"), 6: (1, "b"), 7: (1, "B")}
_TYPES |= {5: (8, ""), 8: (2, "h"), 9: (4, "l"), 10: (8, ""), 11: (4, ""), 12: (8, "")}
_TYPES |= {13: (4, "L"), 16: (8, "Q"), 17: (8, "q"), 18: (8, "Q")}
_MAX_FRAMES = 1000
_MAX_TILE = 4096


@dataclass(frozen=True, slots=True)
class Entry:
    """One tag: `count` values of type `kind` from `start`; `raw` is the entry as it stands."""

    kind: int
    count: int
    start: int
    raw: bytes

    @property
    def size(self) -> int:
        """Bytes of its values."""
        return self.count * _TYPES[self.kind][0]


@dataclass(frozen=True, slots=True)
class Tiff:
    """A TIFF's first directory: where it starts, and its tags by number."""

    info: ImageInfo
    start: int
    tags: dict[int, Entry]
    order: str
    big: bool
    photometric: int
    compression: int


def read(source: Source) -> Tiff:
    """The first directory, and how many follow it.

    Raises:
        ImageInvalid: the directory is missing or says what cannot be.
        ImageUnsupported: a camera's raw file, whose first picture is a thumbnail.
        CutShort: it ends before its directory, or a tag's values lie beyond its end.
    """
    head = source.read(0, 8)
    order = "<" if head[:2] == b"II" else ">"
    big = head[2:4] in {b"+\0", b"\0+"}
    if big and order == ">":
        raise ImageUnsupported("A big-endian BigTIFF is not supported.")  # Nor by Pillow.
    place = struct.unpack("<Q", source.read(8, 8)) if big else struct.unpack(order + "L", head[4:])
    at = int(place[0])
    tags, following = _directory(source, at, order, big=big)

    def number(tag: int, default: int) -> int:
        return _numbers(source, tags, tag, order, limit=1, default=(default,))[0]

    if DNG_VERSION in tags or (number(SUBFILE, 0) & 1 and SUB_DIRECTORIES in tags):
        raise ImageUnsupported("A camera's raw file is not supported; send it developed.")
    size = (number(WIDTH, 0), number(HEIGHT, 0))
    _check_tiles(size, (number(TILE_WIDTH, 0), number(TILE_HEIGHT, 0)))
    turn = number(ORIENTATION, 1)
    info = ImageInfo.stored(
        "tiff",
        size,
        turn if turn in range(1, 9) else 1,
        frames=_frames(source, at, following, order, big=big),
        bits=max(_numbers(source, tags, BITS, order, limit=16, default=(1,))),
        channels=number(SAMPLES, 1),
    )
    return Tiff(info, at, tags, order, big, number(PHOTOMETRIC, 0), number(COMPRESSION, 1))


def _directory(source: Source, at: int, order: str, *, big: bool) -> tuple[dict[int, Entry], int]:
    """The tags of the directory at `at`, and where the next one is (0 for none)."""
    width = 20 if big else 12
    room = 8 if big else 4
    count_size = 8 if big else 2
    if at < 8:
        raise ImageInvalid("The TIFF has no directory.")
    (count,) = struct.unpack(order + ("Q" if big else "H"), source.read(at, count_size))
    if count > 65535:
        raise ImageInvalid("The TIFF's directory is of impossible length.")
    at += count_size
    block = source.read(at, count * width)
    tags: dict[int, Entry] = {}
    for index in range(count):
        raw = block[index * width : (index + 1) * width]
        tag, kind, values = struct.unpack_from(order + ("HHQ" if big else "HHL"), raw)
        if kind not in _TYPES or tag in tags or not values:
            continue
        start = at + index * width + width - room
        if values * _TYPES[kind][0] > room:
            (start,) = struct.unpack(order + ("Q" if big else "L"), raw[-room:])
        tags[tag] = Entry(kind, values, start, raw)
    tail = source.head(room, at + count * width)
    following = struct.unpack(order + ("Q" if big else "L"), tail)[0] if len(tail) == room else 0
    return tags, following


def _numbers(
    source: Source,
    tags: dict[int, Entry],
    tag: int,
    order: str,
    *,
    limit: int,
    default: tuple[int, ...],
) -> tuple[int, ...]:
    """The first `limit` values of a tag that holds whole numbers."""
    entry = tags.get(tag)
    if entry is None:
        return default
    size, code = _TYPES[entry.kind]
    if not code:
        raise ImageInvalid(f"The TIFF's tag {tag} is not a whole number.")
    count = min(entry.count, limit)
    return struct.unpack(f"{order}{count}{code}", source.read(entry.start, count * size))


def _check_tiles(size: tuple[int, int], tile: tuple[int, int]) -> None:
    """A decoder holds a whole tile, which may be far larger than the image."""
    for side, tile_side in zip(size, tile, strict=True):
        if tile_side > max(_MAX_TILE, side + 16):
            raise ImageInvalid("The TIFF's tiles are larger than its image.")


def _frames(source: Source, first: int, following: int, order: str, *, big: bool) -> int | None:
    """How many directories there are; None where a partial file does not show it."""
    seen = {first}
    try:
        while following and following not in seen and len(seen) < _MAX_FRAMES:
            _, after = _directory(source, following, order, big=big)
            seen.add(following)
            following = after
    except (CutShort, ImageInvalid):
        return None if source.partial else len(seen)
    return len(seen)


def profile(data: bytes, tiff: Tiff) -> bytes | None:
    """The ICC profile, or None where there is none."""
    entry = tiff.tags.get(PROFILE)
    return data[entry.start : entry.start + entry.size] if entry is not None else None


def pixels_only(data: bytes, tiff: Tiff) -> bytes:
    """The same file, its directory cut down to the tags that its pixels need.

    A wrong metadata tag is then no reason to refuse a sound picture, and what the tags are said
    to hold stays within the file.

    Raises:
        ImageInvalid: a needed tag lies outside the file, or is not one value where it must be.
    """
    kept = {tag: entry for tag, entry in tiff.tags.items() if tag in _PIXEL_TAGS}
    room = 8 if tiff.big else 4
    if any(kept[tag].count != 1 for tag in _SINGLE_TAGS & kept.keys()):
        raise ImageInvalid("The TIFF is damaged: a tag has more values than it may.")
    outside = [entry for entry in kept.values() if entry.size > room]
    if any(entry.start + entry.size > len(data) for entry in outside):
        raise ImageInvalid("The TIFF is cut short: its tags point beyond its end.")
    if sum(entry.size for entry in outside) > len(data):
        raise ImageInvalid("The TIFF is damaged: its tags say more than it holds.")
    count = struct.pack(tiff.order + ("Q" if tiff.big else "H"), len(kept))
    # Followed by the offset of the next directory: there is none.
    directory = b"".join([count, *(kept[tag].raw for tag in sorted(kept)), bytes(room)])
    view = memoryview(data)
    return b"".join([view[: tiff.start], directory, view[tiff.start + len(directory) :]])
