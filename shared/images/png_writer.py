"""PNG, deflated by Intel's ISA-L: five times as fast as zlib's level 1, and as small.

tests/bench/codecs.py has the figures.
"""

from __future__ import annotations

import struct

import numpy as np
from isal import isal_zlib

from shared.arrays import UInt8Array

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOUR_TYPES = {1: 0, 3: 2, 4: 6}
#: The Sub filter: each byte minus that of the pixel to the left. Of the filters that need one pass
#: it gives the smallest files, for photos and masks; to choose one per row takes longer than to
#: deflate.
_SUB = 1
_LEVEL = 1
#: Bytes deflated alone at the start. ISA-L's loop for long inputs hashes the third position of a
#: stream with a register it never set (`.write_first_byte`), so that one process in thousands gives
#: another file for the same picture, depending on memory addresses. The loop for short inputs does
#: not, and after a flush the long one continues from there. This costs ten bytes.
_FIRST = 8
#: Bytes filtered and deflated at a time, so that a large image is not copied whole.
_BAND = 4 << 20


def write(image: UInt8Array, exif: bytes = b"") -> bytes:
    """The file of an (H, W) gray, (H, W, 3) RGB or (H, W, 4) RGBA image of at least one pixel.

    Includes the EXIF block, if one is given. Releases the GIL. The same picture gives the same file
    in every process.
    """
    height, width = image.shape[:2]
    channels = 1 if image.ndim == 2 else image.shape[2]
    header = struct.pack(">IIBBBBB", width, height, 8, _COLOUR_TYPES[channels], 0, 0, 0)
    parts = [_SIGNATURE, *_chunk(b"IHDR", header)]
    if exif:
        parts += _chunk(b"eXIf", exif)
    deflate = isal_zlib.compressobj(_LEVEL)
    rows = max(1, _BAND // (width * channels))
    for top in range(0, height, rows):
        filtered = _filtered(image[top : top + rows], channels).reshape(-1)
        if top == 0:
            begun = deflate.compress(filtered[:_FIRST]) + deflate.flush(isal_zlib.Z_SYNC_FLUSH)
            parts += _chunk(b"IDAT", begun)
            filtered = filtered[_FIRST:]
        parts += _chunk(b"IDAT", deflate.compress(filtered))
    parts += _chunk(b"IDAT", deflate.flush())
    return b"".join([*parts, *_chunk(b"IEND", b"")])


def _filtered(rows: UInt8Array, channels: int) -> UInt8Array:
    """(n, 1 + W·channels): for each row the filter's number, then differences from the left."""
    flat = rows.reshape(rows.shape[0], -1)
    filtered = np.empty((flat.shape[0], 1 + flat.shape[1]), np.uint8)
    filtered[:, 0] = _SUB
    filtered[:, 1 : 1 + channels] = flat[:, :channels]
    np.subtract(flat[:, channels:], flat[:, :-channels], out=filtered[:, 1 + channels :])
    return filtered


def _chunk(name: bytes, data: bytes) -> list[bytes]:
    if not data and name == b"IDAT":
        return []
    checksum = isal_zlib.crc32(data, isal_zlib.crc32(name))
    return [struct.pack(">I", len(data)), name, data, struct.pack(">I", checksum)]
