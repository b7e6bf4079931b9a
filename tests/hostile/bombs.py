"""Image files that cost far more to decode than their pixels do."""

from __future__ import annotations

import struct
import zlib
from functools import cache


def chunk(name: bytes, body: bytes) -> bytes:
    """A PNG chunk."""
    return struct.pack(">L", len(body)) + name + body + struct.pack(">L", zlib.crc32(name + body))


@cache
def _zeros(megabytes: int) -> tuple[bytes, bytes]:
    """The beginning of a deflate stream, and a part that inflates to 64 MB of zeros each time."""
    packer = zlib.compressobj(9)
    first = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(bytes(megabytes << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return first, again


def deflated(size: int) -> bytes:
    """A deflate stream of about `size` bytes that inflates to a thousand times as many."""
    first, again = _zeros(64)
    return first + again * (size // len(again))


def png(side: int, packed: bytes, *before: bytes, bits: int = 8, colour: int = 2) -> bytes:
    """A square PNG whose pixels are this deflate stream, with chunks before them."""
    head = chunk(b"IHDR", struct.pack(">LLBBBBB", side, side, bits, colour, 0, 0, 0))
    return b"".join(
        [b"\x89PNG\r\n\x1a\n", head, *before, chunk(b"IDAT", packed), chunk(b"IEND", b"")]
    )


def progressive_jpeg(width: int, height: int, scans: int) -> bytes:
    """A progressive JPEG without detail whose scans each pass over all its blocks again."""
    blocks = ((width + 7) // 8) * ((height + 7) // 8)
    runs, rest = divmod(blocks, 32767)
    bits = "011111111111111" * runs + "10" * rest  # end-of-band runs, 32,767 blocks each; then 1
    bits += "1" * (-len(bits) % 8)
    packed = int(bits, 2).to_bytes(len(bits) // 8).replace(b"\xff", b"\xff\0")
    tables = (
        _segment(0xDB, b"\0" + b"\1" * 64)
        + _segment(0xC2, struct.pack(">BHHB", 8, height, width, 3) + b"\1\x11\0\2\x11\0\3\x11\0")
        + _segment(0xC4, b"\x00\1" + bytes(15) + b"\0")
        + _segment(0xC4, b"\x10\1\1" + bytes(14) + b"\xe0\0")
    )
    found = [b"\xff\xd8", tables, _segment(0xDA, b"\3\1\0\2\0\3\0\0\0\1")]
    found.append(bytes((3 * blocks + 7) // 8))
    steps = [(1, 63, 0, 9), *((1, 63, at, at - 1) for at in range(9, 0, -1))]
    for number in range(scans):
        first, last, high, low = steps[number // 3 % len(steps)]
        component = number % 3 + 1
        found += [_segment(0xDA, bytes([1, component, 0, first, last, high << 4 | low])), packed]
    return b"".join([*found, b"\xff\xd9"])


def _segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def run_length_bmp(width: int, height: int) -> bytes:
    """A BMP of 256 colours whose every pixel is a run of its own."""
    body = (b"\1\7" * width + b"\0\0") * height + b"\0\1"
    head = b"BM" + struct.pack("<LHHL", 1078 + len(body), 0, 0, 1078)
    head += struct.pack("<LllHHLLllLL", 40, width, height, 1, 8, 1, len(body), 0, 0, 256, 256)
    return head + bytes(1024) + body
