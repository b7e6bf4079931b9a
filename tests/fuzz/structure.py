"""Finds numbers, names and parts in a file, even a damaged one."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

#: Most parts read from one list; lists in damaged files may be endless.
_MOST = 200

_AVIF_FOLDERS = {
    **dict.fromkeys((b"iprp", b"ipco", b"moov", b"trak", b"mdia", b"minf", b"stbl", b"dinf"), 0),
    **dict.fromkeys((b"meta", b"iref"), 4),
    b"iinf": 6,
    b"stsd": 8,
}


@dataclass(frozen=True)
class Number:
    """`size` bytes at `at` that hold a length, a count, an offset or a flag."""

    at: int
    size: int
    little: bool = False

    def value(self, data: bytes | bytearray) -> int:
        return int.from_bytes(data[self.at : self.at + self.size], self.order)

    @property
    def order(self) -> Literal["little", "big"]:
        return "little" if self.little else "big"


@dataclass
class Structure:
    """The numbers; names as (start, end); and parts as (start, end), their headers included."""

    numbers: list[Number] = field(default_factory=list)
    names: list[tuple[int, int]] = field(default_factory=list)
    parts: list[tuple[int, int]] = field(default_factory=list)


def find(data: bytes, image_format: str) -> Structure:
    """The structure of a file that was once of this format, and of the EXIF blocks in it."""
    found = Structure()
    _WALKERS[image_format](data, found)
    if image_format != "tiff":
        for match in list(re.finditer(rb"II\*\0|MM\0\*", data))[:4]:
            _tiff(data, found, match.start())
    inside = [number for number in found.numbers if number.at + number.size <= len(data)]
    parts = [(start, end) for start, end in found.parts if 0 <= start < end <= len(data)]
    names = [(start, end) for start, end in found.names if end <= len(data)]
    return Structure(inside, names, parts)


def _number(data: bytes, at: int, size: int, *, little: bool = False) -> int:
    return Number(at, size, little).value(data)


def _jpeg(data: bytes, found: Structure) -> None:
    at = 2
    for _ in range(_MOST):
        if data[at : at + 1] != b"\xff":
            return
        length = _number(data, at + 2, 2)
        marker = data[at + 1] if at + 1 < len(data) else 0
        found.names.append((at + 1, at + 2))
        found.numbers.append(Number(at + 2, 2))
        found.parts.append((at, at + 2 + length))
        if marker in range(0xC0, 0xD0):
            sizes = ((4, 1), (5, 2), (7, 2), (9, 1), (10, 1), (11, 1), (12, 1))
            found.numbers += [Number(at + place, size) for place, size in sizes]
        if marker == 0xE2:
            found.numbers += [Number(at + 16, 1), Number(at + 17, 1)]
        if marker == 0xDA:
            return
        at += 2 + length


def _png(data: bytes, found: Structure) -> None:
    at = 8
    found.numbers += [Number(16, 4), Number(20, 4), Number(24, 1), Number(25, 1), Number(28, 1)]
    for _ in range(_MOST):
        if at + 8 > len(data):
            return
        length = _number(data, at, 4)
        found.numbers.append(Number(at, 4))
        found.names.append((at + 4, at + 8))
        found.parts.append((at, at + 12 + length))
        if data[at + 4 : at + 8] in {b"acTL", b"fcTL"}:
            found.numbers += [Number(at + 8 + place, 4) for place in range(0, min(length, 32), 4)]
        at += 12 + length


def _webp(data: bytes, found: Structure) -> None:
    found.numbers += [Number(4, 4, little=True), Number(20, 1)]
    found.numbers += [Number(at, size, little=True) for at in (21, 24, 26, 27) for size in (2, 3)]
    at = 12
    for _ in range(_MOST):
        if at + 8 > len(data):
            return
        length = _number(data, at + 4, 4, little=True)
        found.names.append((at, at + 4))
        found.numbers.append(Number(at + 4, 4, little=True))
        found.parts.append((at, at + 8 + length + length % 2))
        at += 8 + length + length % 2


def _gif(data: bytes, found: Structure) -> None:
    found.numbers += [Number(6, 2, little=True), Number(8, 2, little=True), Number(10, 1)]
    palette = data[10:11] and data[10] & 0x80
    at = 13 + (3 << (data[10] & 7) + 1 if palette else 0)
    for _ in range(_MOST):
        start, kind = at, data[at : at + 1]
        found.names.append((at, at + 1))
        if kind == b",":
            found.numbers += [Number(at + place, 2, little=True) for place in (1, 3, 5, 7)]
            found.numbers.append(Number(at + 9, 1))
            flags = _number(data, at + 9, 1)
            at += 11 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
        elif kind == b"!":
            at += 2
        else:
            return
        for _ in range(20):
            found.numbers.append(Number(at, 1))
            length = _number(data, at, 1)
            at += 1 + length
            if not length:
                break
        found.parts.append((start, at))


def _bmp(data: bytes, found: Structure) -> None:
    found.numbers += [Number(at, 4, little=True) for at in (2, 10, 14, 18, 22, 30, 34, 46, 50)]
    found.numbers += [Number(at, 2, little=True) for at in (18, 20, 22, 24, 26, 28)]
    head = 14 + _number(data, 14, 4, little=True)
    found.parts += [(14, head), (head, _number(data, 10, 4, little=True)), (head, len(data))]


def _tiff(data: bytes, found: Structure, base: int = 0) -> None:
    little = data[base : base + 2] == b"II"
    big = b"+" in data[base + 2 : base + 4]
    word, count_size, entry = (8, 8, 20) if big else (4, 2, 12)
    pointer = base + (8 if big else 4)
    for _ in range(5):
        found.numbers.append(Number(pointer, word, little))
        at = base + _number(data, pointer, word, little=little)
        if at + count_size > len(data):
            return
        found.numbers.append(Number(at, count_size, little))
        count = min(_number(data, at, count_size, little=little), _MOST)
        for index in range(count):
            start = at + count_size + entry * index
            found.numbers += [Number(start, 2, little), Number(start + 2, 2, little)]
            found.numbers.append(Number(start + 4, word, little))
            found.numbers.append(Number(start + 4 + word, word, little))
            found.numbers.append(Number(start + 4 + word, 2, little))
            found.parts.append((start, start + entry))
        pointer = at + count_size + entry * count
        found.parts.append((at, pointer + word))


def _avif(data: bytes, found: Structure) -> None:
    _boxes(data, found, 0, len(data), 0)


def _boxes(data: bytes, found: Structure, at: int, end: int, depth: int) -> None:
    for _ in range(_MOST):
        if at + 8 > min(end, len(data)) or depth > 8 or len(found.parts) > _MOST:
            return
        length, name = _number(data, at, 4), data[at + 4 : at + 8]
        found.numbers.append(Number(at, 4))
        found.names.append((at + 4, at + 8))
        found.parts.append((at, at + length))
        body = at + 8
        if name in _AVIF_FOLDERS:
            _boxes(data, found, body + _AVIF_FOLDERS[name], at + length, depth + 1)
        elif name == b"mdat":
            found.numbers += [Number(place, 1) for place in range(body, body + 24)]
        else:
            tail = min(at + length, body + 96, len(data))
            found.numbers += [Number(place, 1) for place in range(body, tail)]
            found.numbers += [Number(place, 2) for place in range(body, tail - 1, 2)]
            found.numbers += [Number(place, 4) for place in range(body, tail - 3, 4)]
        if length < 8:
            return
        at += length


_WALKERS: dict[str, Callable[[bytes, Structure], None]] = {
    "jpeg": _jpeg,
    "png": _png,
    "webp": _webp,
    "gif": _gif,
    "bmp": _bmp,
    "tiff": _tiff,
    "avif": _avif,
}
