"""AVIF: whether its items and tracks have the size that its header claims."""

from __future__ import annotations

import struct

from shared.errors import ImageInvalid
from shared.images.headers import av1
from shared.images.headers.boxes import MAX_BOXES, MAX_META, associations, children, item_number
from shared.images.headers.source import ByteSource, Pieces

#: Items of one picture: tiles, alpha and others.
_MAX_ITEMS = 1024
#: Pixels that tiles may have beyond a small picture: a tile has at least 64 per side.
_MARGIN = 1 << 20
#: Boxes of which one decoder may read the first and another the last.
_ONCE = {b"pitm", b"iloc", b"iinf", b"iprp", b"iref", b"idat"}
_LIES = "The AVIF's picture has another size than its header says."
_TWICE = "The AVIF's header has something twice that may be there once."
_TOO_MANY = "The AVIF has too many parts."


def require_size(source: ByteSource, meta: bytes, size: av1.Size) -> None:
    """Raise ImageInvalid unless the items decode to the size that the header claims.

    A decoder believes the bitstreams, and scales the picture to the header's size afterwards.
    """
    every = children(source, meta, 4)
    parts = dict(every)
    if any(sum(other == name for other, _ in every) > 1 for name in _ONCE):
        raise ImageInvalid(_TWICE)
    properties = dict(children(source, parts.get(b"iprp", b"")))
    every = children(source, properties.get(b"ipco", b""))
    owned = associations(properties.get(b"ipma", b""))
    kinds = _kinds(source, parts.get(b"iinf", b""))
    extents = _extents(source, parts.get(b"iloc", b""))
    # A decoder copies an item that is stored in pieces.
    if sum(length for _, places in extents.values() for _, length in places) > (
        2 * source.size + MAX_META
    ):
        raise ImageInvalid("The AVIF's items overlap.")
    main = item_number(parts.get(b"pitm", b""))
    pixels = 0
    idat = source.part(parts.get(b"idat", b""))
    for item in _needed(source, main, parts.get(b"iref", b""), kinds):
        if kinds.get(item) not in {b"av01", b"grid"}:
            if item == main:
                raise ImageInvalid("The AVIF's picture is not in AV1.")
            continue
        within, places = extents.get(item, (False, []))
        data, start, end = _data(idat if within else source, places)
        if kinds[item] == b"grid":
            wide = data.read(start + 1, 1)[0] & 1
            told = struct.unpack(">LL" if wide else ">HH", data.read(start + 4, 8 if wide else 4))
            claimed = [size]
        else:
            told = av1.picture_size(data, start, end)
            pixels += told[0] * told[1]
            mine = [every[place - 1] for place in owned.get(item, []) if place]
            claimed = [struct.unpack_from(">LL", b, 4) for name, b in mine if name == b"ispe"]
        if claimed != [told]:
            raise ImageInvalid(_LIES)
    if pixels > 3 * size[0] * size[1] + _MARGIN:
        raise ImageInvalid(_LIES)


def _needed(source: ByteSource, main: int, references: bytes, kinds: dict[int, bytes]) -> list[int]:
    """The main item, and those a decoder may need for it: its tiles, its alpha, and theirs."""
    parts: dict[int, list[int]] = {}
    number = "L" if references and references[0] else "H"
    total = 0
    for name, body in children(source, references, 4) if references else []:
        origin, count = struct.unpack_from(f">{number}H", body)
        total += count
        if total > MAX_BOXES:
            raise ImageInvalid(_TOO_MANY)
        targets = struct.unpack_from(f">{count}{number}", body, 6 if number == "L" else 4)
        if name == b"dimg":
            parts.setdefault(origin, []).extend(targets)
        if name == b"auxl" or (name == b"dimg" and kinds.get(origin) == b"sato"):
            for target in targets:
                parts.setdefault(target, []).append(origin)
    needed, reached = [main], {main}
    for item in needed:
        fresh = [part for part in dict.fromkeys(parts.get(item, [])) if part not in reached]
        needed += fresh
        reached.update(fresh)
        if len(needed) > _MAX_ITEMS:
            raise ImageInvalid(_TOO_MANY)
    return needed


def _kinds(source: ByteSource, box: bytes) -> dict[int, bytes]:
    """Item number to the type of the item."""
    found: dict[int, bytes] = {}
    for name, body in children(source, box, 8 if box[0] else 6):
        if name == b"infe" and body[0] >= 2:
            item, _, kind = struct.unpack_from(">HH4s" if body[0] == 2 else ">LH4s", body, 4)
            if item in found:
                raise ImageInvalid(_TWICE)
            found[item] = kind
    return found


def _extents(source: ByteSource, box: bytes) -> dict[int, tuple[bool, list[tuple[int, int]]]]:
    """Item number to whether it is stored in the header, and offset and length of its pieces."""
    if not box:
        return {}
    version, at, pieces = box[0], 6, 0
    offset_bytes, length_bytes, base_bytes = box[4] >> 4, box[4] & 15, box[5] >> 4
    index_bytes = box[5] & 15 if version else 0
    fields = source.part(box)

    def take(length: int) -> int:
        nonlocal at
        at += length
        return int.from_bytes(fields.read(at - length, length))

    found: dict[int, tuple[bool, list[tuple[int, int]]]] = {}
    for _ in range(take(2 if version < 2 else 4)):
        item = take(2 if version < 2 else 4)
        within = bool(version and take(2) & 15)
        take(2)
        base = take(base_bytes)
        places = []
        count = take(2)
        pieces += count
        if item in found:
            raise ImageInvalid(_TWICE)
        if pieces > MAX_BOXES:
            raise ImageInvalid(_TOO_MANY)
        for _ in range(count):
            take(index_bytes)
            offset = base + take(offset_bytes)
            places.append((offset, take(length_bytes)))
        found[item] = (within, places)
    return found


def _data(source: ByteSource, places: list[tuple[int, int]]) -> tuple[ByteSource, int, int]:
    """The source of an item's bytes, and where in it they start and end."""
    if len(places) == 1:
        start, length = places[0]
        source.require(start + length)
        return source, start, start + length
    pieces = Pieces(source, places)
    return pieces, 0, pieces.size


def require_track_size(source: ByteSource, moov: bytes, size: av1.Size) -> None:
    """Raise ImageInvalid unless the first frame of each track has the main picture's size."""
    for name, track in children(source, moov):
        if name != b"trak":
            continue
        table = _only(source, track, b"mdia", b"minf", b"stbl")
        chunks = [box for box in children(source, table) if box[0] in {b"stco", b"co64"}]
        if b"av01" not in _only(source, table, b"stsd") or not chunks:
            continue
        head = _only(source, track, b"tkhd")
        width, height = struct.unpack_from(">LL", head, 88 if head[0] else 76)
        (kind, offsets), sizes = chunks[0], _only(source, table, b"stsz")
        (start,) = struct.unpack_from(">L" if kind == b"stco" else ">Q", offsets, 8)
        every, _, *first = struct.unpack_from(">LL" + "L" * (len(sizes) >= 16), sizes, 4)
        found = av1.picture_size(source, start, start + (every or first[0]))
        if not (found == size == (width >> 16, height >> 16)) or len(chunks) > 1:
            raise ImageInvalid(_LIES)


def _only(source: ByteSource, body: bytes, *path: bytes) -> bytes:
    """The box at this path, each step of which must be there exactly once."""
    for name in path:
        found = [inner for kind, inner in children(source, body) if kind == name]
        if len(found) != 1:
            raise ImageInvalid("The AVIF's header is damaged.")
        body = found[0]
    return body
