"""TIFF: the tags of its first directory."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from shared.errors import ImageInvalid, ImageUnsupported
from shared.images.headers.info import ImageInfo
from shared.images.headers.source import ByteSource, CutShort

_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 254, 256, 257, 258, 259, 262
_ORIENTATION, _SAMPLES, _TILE_WIDTH, _TILE_HEIGHT = 274, 277, 322, 323
_SUB_DIRECTORIES, _PROFILE, _DNG_VERSION = 330, 34675, 50706

_WHITE_IS_ZERO, _LAB = 0, 8

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
#: Field type to (bytes, struct code); types without a code are never read as numbers.
_TYPES = {1: (1, "B"), 2: (1, "B"), 3: (2, "H"), 4: (4, "L"), 6: (1, "b"), 7: (1, "B")}
_TYPES |= {5: (8, ""), 8: (2, "h"), 9: (4, "l"), 10: (8, ""), 11: (4, ""), 12: (8, "")}
_TYPES |= {13: (4, "L"), 16: (8, "Q"), 17: (8, "q"), 18: (8, "Q")}
#: About 700 kinds of tags are known.
_MAX_FRAMES, _MAX_ENTRIES, _MAX_TILE = 1000, 4096, 4096


@dataclass(frozen=True, slots=True)
class Entry:
    """One tag: `count` values of type `kind` from `start`; `raw` is the entry as stored."""

    kind: int
    count: int
    start: int
    raw: bytes

    @property
    def size(self) -> int:
        """Bytes of its values."""
        return self.count * _TYPES[self.kind][0]


@dataclass(frozen=True, slots=True)
class _Layout:
    """Byte order and word size of a file: BigTIFF has 8-byte offsets and counts."""

    order: str
    big: bool

    @property
    def word(self) -> str:
        """The struct code of an offset."""
        return self.order + ("Q" if self.big else "L")

    @property
    def room(self) -> int:
        """Bytes of an offset, and of the values that an entry holds itself."""
        return 8 if self.big else 4

    @property
    def entry_size(self) -> int:
        return 20 if self.big else 12

    @property
    def count(self) -> str:
        """The struct code of a directory's number of entries."""
        return self.order + ("Q" if self.big else "H")

    def entries(self, source: ByteSource, at: int) -> tuple[int, int]:
        """Number of entries in the directory at `at`, and the offset of the first.

        Raises:
            ImageInvalid: there cannot be a directory there.
            CutShort: the file ends before it does.
        """
        if at < 8:
            raise ImageInvalid("The TIFF has no directory.")
        start = at + struct.calcsize(self.count)
        (count,) = struct.unpack(self.count, source.read(at, start - at))
        if count > 65535:
            raise ImageInvalid("The TIFF's directory is of impossible length.")
        source.require(start + count * self.entry_size)
        return count, start

    def following(self, source: ByteSource, at: int) -> int:
        """The offset of the directory after the one at `at`; 0 for none."""
        count, start = self.entries(source, at)
        tail = source.head(self.room, start + count * self.entry_size)
        return int(struct.unpack(self.word, tail)[0]) if len(tail) == self.room else 0


@dataclass(frozen=True, slots=True)
class Tiff:
    """The header of a TIFF: the offset of its first directory, and that directory's tags."""

    info: ImageInfo
    start: int
    tags: dict[int, Entry]
    layout: _Layout
    photometric: int

    @property
    def white_is_zero(self) -> bool:
        """Whether gray levels run from white to black."""
        return self.photometric == _WHITE_IS_ZERO

    @property
    def lab(self) -> bool:
        """Whether its colours are CIELab."""
        return self.photometric == _LAB

    def profile(self, data: bytes) -> bytes | None:
        """The ICC profile, or None where there is none."""
        entry = self.tags.get(_PROFILE)
        return data[entry.start : entry.start + entry.size] if entry is not None else None

    def pixels_only(self, data: bytes) -> bytes:
        """The same file, its directory reduced to the tags that its pixels need.

        A wrong metadata tag is then no reason to refuse a sound picture, and the values of all
        tags that remain lie within the file.

        Raises:
            ImageInvalid: a needed tag lies outside the file, or has several values where one is
                allowed.
        """
        kept = {tag: entry for tag, entry in self.tags.items() if tag in _PIXEL_TAGS}
        room = self.layout.room
        if any(kept[tag].count != 1 for tag in _SINGLE_TAGS & kept.keys()):
            raise ImageInvalid("The TIFF is damaged: a tag has more values than it may.")
        outside = [entry for entry in kept.values() if entry.size > room]
        if any(entry.start + entry.size > len(data) for entry in outside):
            raise ImageInvalid("The TIFF is cut short: its tags point beyond its end.")
        if sum(entry.size for entry in outside) > len(data):
            raise ImageInvalid("The TIFF is damaged: its tags claim more bytes than it has.")
        count = struct.pack(self.layout.count, len(kept))
        # The last word is the offset of the next directory: there is none.
        directory = b"".join([count, *(kept[tag].raw for tag in sorted(kept)), bytes(room)])
        view = memoryview(data)
        return b"".join([view[: self.start], directory, view[self.start + len(directory) :]])


def read(source: ByteSource) -> Tiff:
    """Read the first directory, and count those that follow it.

    Raises:
        ImageInvalid: the directory is missing or impossible.
        ImageUnsupported: a camera's raw file, whose first picture is a thumbnail.
        CutShort: the file ends before its directory, or a tag's values lie beyond its end.
    """
    head = source.read(0, 8)
    layout = _Layout("<" if head[:2] == b"II" else ">", head[2:4] in {b"+\0", b"\0+"})
    if layout.big and layout.order == ">":
        raise ImageUnsupported("A big-endian BigTIFF is not supported.")  # Nor does Pillow.
    (at,) = struct.unpack(layout.word, source.read(8, 8) if layout.big else head[4:])
    tags = _tags(source, at, layout)

    def number(tag: int, default: int) -> int:
        return _numbers(source, tags, tag, layout, limit=1, default=(default,))[0]

    if _DNG_VERSION in tags or (number(_SUBFILE, 0) & 1 and _SUB_DIRECTORIES in tags):
        raise ImageUnsupported("A camera's raw file is not supported; send it developed.")
    size = (number(_WIDTH, 0), number(_HEIGHT, 0))
    _check_tiles(size, (number(_TILE_WIDTH, 0), number(_TILE_HEIGHT, 0)))
    turn = number(_ORIENTATION, 1)
    bits = max(_numbers(source, tags, _BITS, layout, limit=16, default=(1,)))
    channels = number(_SAMPLES, 1)
    if bits < 1 or channels < 1:
        raise ImageInvalid("The TIFF's pixels have no samples.")
    info = ImageInfo.stored(
        "tiff",
        size,
        turn if turn in range(1, 9) else 1,
        frames=_frames(source, at, layout),
        bits=bits,
        channels=channels,
    )
    return Tiff(info, at, tags, layout, number(_PHOTOMETRIC, 0))


def _tags(source: ByteSource, at: int, layout: _Layout) -> dict[int, Entry]:
    """The tags of the directory at `at`, by number."""
    count, first = layout.entries(source, at)
    if count > _MAX_ENTRIES:
        raise ImageInvalid(f"The TIFF has more than {_MAX_ENTRIES:,} tags.")
    width, room = layout.entry_size, layout.room
    block = source.read(first, count * width)
    tags: dict[int, Entry] = {}
    for index in range(count):
        raw = block[index * width : (index + 1) * width]
        tag, kind, values = struct.unpack_from(layout.order + "HH" + layout.word[1], raw)
        if kind not in _TYPES or tag in tags or not values:
            continue
        start = first + index * width + width - room
        if values * _TYPES[kind][0] > room:
            (start,) = struct.unpack(layout.word, raw[-room:])
        tags[tag] = Entry(kind, values, start, raw)
    return tags


def _numbers(
    source: ByteSource,
    tags: dict[int, Entry],
    tag: int,
    layout: _Layout,
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
    return struct.unpack(f"{layout.order}{count}{code}", source.read(entry.start, count * size))


def _check_tiles(size: tuple[int, int], tile: tuple[int, int]) -> None:
    """Refuse tiles far larger than the image: a decoder holds a whole one."""
    for side, tile_side in zip(size, tile, strict=True):
        if tile_side > max(_MAX_TILE, side + 16):
            raise ImageInvalid("The TIFF's tiles are larger than its image.")


def _frames(source: ByteSource, first: int, layout: _Layout) -> int | None:
    """How many directories there are; None where a partial file does not show it."""
    seen = {first}
    try:
        following = layout.following(source, first)
        while following and following not in seen and len(seen) < _MAX_FRAMES:
            after = layout.following(source, following)
            seen.add(following)
            following = after
    except (CutShort, ImageInvalid):
        return None if source.partial else len(seen)
    return len(seen)
