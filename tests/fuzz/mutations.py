"""Mutations: each function returns the file with one change."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from random import Random

from tests.fuzz.seeds import Seed
from tests.fuzz.structure import Structure, find

#: Longest file in bytes; without it, repeated parts could grow without limit.
LONGEST = 1 << 20
_USUAL = 64 << 10

_NUMBERS = (0, 1, 2, 3, 4, 5, 7, 8, 9, 12, 13, 16, 40, 64, 127, 128, 255, 256, 4096, 65_535, 65_536)
_NAMES: dict[str, tuple[bytes, ...]] = {
    "jpeg": tuple(bytes([marker]) for marker in (0, 1, *range(0xC0, 0x100))),
    "png": (
        *(b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"iCCP", b"eXIf"),
        *(b"acTL", b"fcTL", b"fdAT", b"zTXt", b"\0\0\0\0"),
    ),
    "webp": (b"VP8 ", b"VP8L", b"VP8X", b"ANIM", b"ANMF", b"ALPH", b"EXIF", b"ICCP", b"\0\0\0\0"),
    "gif": (b",", b"!", b";", b"\0"),
    "avif": (
        *(b"ftyp", b"meta", b"moov", b"mdat", b"pitm", b"iloc", b"iinf", b"infe", b"iprp", b"ipco"),
        *(b"ipma", b"iref", b"ispe", b"pixi", b"irot", b"imir", b"auxC", b"av1C", b"idat", b"dimg"),
        *(b"trak", b"stsz", b"stco", b"co64", b"stsd", b"tkhd", b"av01", b"grid", b"sato", b"Exif"),
    ),
}


class Mutator:
    """Makes damaged files from valid ones, reproducibly for a given random state."""

    def __init__(self, pool: Sequence[Seed]) -> None:
        self._pool = pool
        self._ways: list[tuple[int, Callable[[Random, bytes, str], bytes]]] = [
            (8, self.set_number),
            (2, self.rename),
            (2, self.flip_bits),
            (1, self.set_bytes),
            (2, self.cut),
            (1, self.extend),
            (1, self.drop),
            (2, self.repeat),
            (1, self.exchange),
            (2, self.splice),
            (2, self.insert),
            (1, self.clear),
        ]

    def make(self, rng: Random) -> tuple[Seed, bytes]:
        """A seed, and that seed damaged in one to five places."""
        seed = rng.choice(self._pool)
        data = seed.data
        weights = [weight for weight, _ in self._ways]
        for _ in range(rng.choice((1, 1, 2, 2, 3, 5))):
            (_, way), *_ = rng.choices(self._ways, weights)
            data = way(rng, data, seed.format)[:LONGEST]
        if seed.format == "png" and rng.random() < 0.5:
            data = with_checksums(data)
        return seed, data

    def set_number(self, rng: Random, data: bytes, image_format: str) -> bytes:
        """Change a length, count, offset or flag."""
        found = find(data, image_format)
        if not found.numbers:
            return self.set_bytes(rng, data, image_format)
        number = rng.choice(found.numbers)
        top = (1 << 8 * number.size) - 1
        now = number.value(data)
        value = rng.choice(
            (
                rng.choice(_NUMBERS),
                rng.choice((top, top - 1, top >> 1, (top >> 1) + 1, top - 7)),
                now + rng.choice((-8, -4, -2, -1, 1, 2, 4, 8)),
                rng.choice((now * 2, now // 2, now ^ 1 << rng.randrange(8 * number.size))),
                len(data) - rng.randrange(-16, 16),
                rng.choice(found.parts)[0] if found.parts else number.at,
                rng.randint(0, top),
            )
        )
        changed = bytearray(data)
        order = number.order
        changed[number.at : number.at + number.size] = (value & top).to_bytes(number.size, order)
        return bytes(changed)

    def rename(self, rng: Random, data: bytes, image_format: str) -> bytes:
        """Rename a segment, chunk, block or box."""
        found = find(data, image_format)
        if not found.names or image_format not in _NAMES:
            return self.set_number(rng, data, image_format)
        start, end = rng.choice(found.names)
        return data[:start] + rng.choice(_NAMES[image_format]) + data[end:]

    def flip_bits(self, rng: Random, data: bytes, image_format: str) -> bytes:  # noqa: ARG002
        """Flip a few bits, mostly near the start."""
        changed = bytearray(data)
        for _ in range(rng.choice((1, 1, 2, 4, 8)) if changed else 0):
            changed[_place(rng, len(data))] ^= 1 << rng.randrange(8)
        return bytes(changed)

    def set_bytes(self, rng: Random, data: bytes, image_format: str) -> bytes:  # noqa: ARG002
        """Replace a few bytes with random ones."""
        at = _place(rng, len(data)) if data else 0
        length = rng.choice((1, 2, 4, 8))
        return data[:at] + rng.randbytes(length) + data[at + length :]

    def cut(self, rng: Random, data: bytes, image_format: str) -> bytes:
        """Truncate the file, half of the time near the edge of a part."""
        edges = [end for part in find(data, image_format).parts for end in part]
        if edges and rng.random() < 0.5:
            return data[: max(0, rng.choice(edges) + rng.randrange(-4, 5))]
        return data[: rng.randrange(len(data) + 1)]

    def extend(self, rng: Random, data: bytes, image_format: str) -> bytes:  # noqa: ARG002
        """Append bytes."""
        return data + rng.choice((bytes(100), rng.randbytes(100), b"\xff" * 100, data))

    def drop(self, rng: Random, data: bytes, image_format: str) -> bytes:
        """Remove a part."""
        start, end = _part(rng, data, find(data, image_format))
        return data[:start] + data[end:]

    def repeat(self, rng: Random, data: bytes, image_format: str) -> bytes:
        """Repeat a part several times; rarely, thousands of times."""
        start, end = _part(rng, data, find(data, image_format))
        often = rng.random() < 0.05
        room = ((LONGEST if often else _USUAL) - len(data)) // max(1, end - start)
        times = rng.choice((1, 2, 5, 100, 300_000 if often else 1000))
        return data[:end] + data[start:end] * max(0, min(times, room)) + data[end:]

    def exchange(self, rng: Random, data: bytes, image_format: str) -> bytes:
        """Swap two parts."""
        found = find(data, image_format)
        (a, b), (c, d) = sorted(_part(rng, data, found) for _ in range(2))
        if b > c:
            return data[:a] + data[c:d] + data[a:]
        return data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]

    def splice(self, rng: Random, data: bytes, image_format: str) -> bytes:
        """Join the start of this file to the end of another."""
        other = self._other(rng, image_format)
        return data[: rng.randrange(len(data) + 1)] + other.data[rng.randrange(len(other.data)) :]

    def insert(self, rng: Random, data: bytes, image_format: str) -> bytes:
        """Insert a part of another file before a part of this one."""
        other = self._other(rng, image_format)
        start, end = _part(rng, other.data, find(other.data, other.format))
        at, _ = _part(rng, data, find(data, image_format))
        return data[:at] + other.data[start:end] + data[at:]

    def clear(self, rng: Random, data: bytes, image_format: str) -> bytes:
        """Fill a part with zero bits or one bits."""
        start, end = _part(rng, data, find(data, image_format))
        return data[:start] + rng.choice((b"\0", b"\xff")) * (end - start) + data[end:]

    def _other(self, rng: Random, image_format: str) -> Seed:
        """Another file, mostly of the same format."""
        same = [seed for seed in self._pool if seed.format == image_format]
        return rng.choice(same if rng.random() < 0.8 else self._pool)


def with_checksums(data: bytes) -> bytes:
    """The PNG with correct checksums, as far as its chunks can be found."""
    changed = bytearray(data)
    for start, end in find(data, "png").parts:
        changed[end - 4 : end] = zlib.crc32(changed[start + 4 : end - 4]).to_bytes(4)
    return bytes(changed)


def _place(rng: Random, length: int) -> int:
    """An offset, two times in three within the first 200 bytes."""
    return rng.randrange(min(length, 200) if rng.random() < 0.67 else length)


def _part(rng: Random, data: bytes, found: Structure) -> tuple[int, int]:
    """A part of the file; a random range where none is found."""
    if found.parts and rng.random() < 0.9:
        return rng.choice(found.parts)
    start = rng.randrange(len(data) + 1)
    return start, min(len(data), start + rng.randrange(1, 64))
