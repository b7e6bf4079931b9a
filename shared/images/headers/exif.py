"""EXIF: the orientation of a photo."""

from __future__ import annotations

import struct

_ORIENTATION = 0x0112
_MAX_ENTRIES = 1000


def orientation(block: bytes) -> int:
    """The EXIF orientation, 1–8, of a TIFF-shaped EXIF block; 1 where it cannot be read.

    Never an error: metadata is often damaged in photos whose pixels are sound.
    """
    block = block.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None:
        return 1
    try:
        (directory,) = struct.unpack_from(order + "L", block, 4)
        (count,) = struct.unpack_from(order + "H", block, directory)
        for index in range(min(count, _MAX_ENTRIES)):
            entry = directory + 2 + 12 * index
            tag, kind = struct.unpack_from(order + "HH", block, entry)
            if tag == _ORIENTATION:
                # Some editors write a LONG, though the standard says SHORT.
                code = {3: "H", 4: "L"}.get(kind, "H")
                (value,) = struct.unpack_from(order + code, block, entry + 8)
                return value if value in range(1, 9) else 1
    except struct.error:
        pass
    return 1
