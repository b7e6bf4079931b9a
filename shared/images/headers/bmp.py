"""BMP: its size."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from shared.errors import ImageInvalid, ImageUnsupported
from shared.images.headers.info import ImageInfo
from shared.images.headers.source import ByteSource

_RUN_LENGTHS = {1, 2}
_BITS = {1, 2, 4, 8, 16, 24, 32}


@dataclass(frozen=True, slots=True)
class Bmp:
    """The header of a BMP."""

    info: ImageInfo

    def require_runs(self, source: ByteSource) -> None:
        """Raise `CutShort` where run-length data is missing; Pillow would leave it black."""
        pixels, header = struct.unpack("<LL", source.read(10, 8))
        compression, length = struct.unpack("<LL", source.read(30, 8)) if header >= 40 else (0, 0)
        if compression in _RUN_LENGTHS:
            source.require(pixels + length)


def read(source: ByteSource) -> Bmp:
    """Read the size, of either kind of header.

    Raises:
        ImageInvalid: no decoder would accept it.
        ImageUnsupported: a number of bits per pixel that no decoder here reads.
        CutShort: the file ends before its header does.
    """
    (length,) = struct.unpack("<L", source.read(14, 4))
    if length == 12:
        width, height, _, bits = struct.unpack("<4H", source.read(18, 8))
    else:
        width, height, _, bits = struct.unpack("<llHH", source.read(18, 12))
    if width < 0:
        raise ImageInvalid("The BMP claims a width below zero.")
    if bits not in _BITS:
        raise ImageUnsupported(f"A BMP of {bits} bits per pixel is not supported.")
    # A height below zero means that the rows run from the top.
    info = ImageInfo("bmp", width, abs(height), bits=min(bits, 8), channels=max(1, bits // 8))
    return Bmp(info)
