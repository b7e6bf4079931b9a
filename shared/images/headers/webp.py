"""WebP: size, orientation and number of frames."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from shared.errors import ImageInvalid
from shared.images.headers import exif
from shared.images.headers.info import ImageInfo
from shared.images.headers.source import ByteSource, CutShort

_EXIF_FLAG, _ANIMATION_FLAG, _ALPHA_FLAG = 0x08, 0x02, 0x10
_MAX_EXIF = 1 << 20


@dataclass(frozen=True, slots=True)
class WebP:
    """The header of a WebP."""

    info: ImageInfo


def read(source: ByteSource) -> WebP:
    """Read the header; for an animation or EXIF, the names of the chunks after it too.

    Raises:
        ImageInvalid: no decoder would accept it.
        CutShort: the file ends before its header; if it is not partial, before the length that
            its header states.
    """
    (length,) = struct.unpack("<L", source.read(4, 4))
    if not source.partial:
        source.require(8 + length)
    name = source.read(12, 4)
    head = source.read(20, 10 if name != b"VP8L" else 5)
    if name == b"VP8 ":
        if head[3:6] != b"\x9d\x01\x2a":
            raise ImageInvalid("The WebP is damaged.")
        width, height = (value & 0x3FFF for value in struct.unpack("<HH", head[6:10]))
        return WebP(ImageInfo("webp", width, height))
    if name == b"VP8L":
        fields = int.from_bytes(head[1:5], "little")
        width, height = (fields & 0x3FFF) + 1, (fields >> 14 & 0x3FFF) + 1
        return WebP(ImageInfo("webp", width, height, channels=4))
    if name != b"VP8X":
        raise ImageInvalid("The WebP is damaged.")
    size = (int.from_bytes(head[4:7], "little") + 1, int.from_bytes(head[7:10], "little") + 1)
    turn, frames = _extras(source, head[0], 8 + length)
    return WebP(
        ImageInfo.stored(
            "webp", size, turn, frames=frames, channels=4 if head[0] & _ALPHA_FLAG else 3
        )
    )


def _extras(source: ByteSource, flags: int, end: int) -> tuple[int | None, int | None]:
    """Orientation and number of frames; each None where a partial file ends too early to tell."""
    turn = None if flags & _EXIF_FLAG else 1
    animated = bool(flags & _ANIMATION_FLAG)
    if turn is not None and not animated:
        return turn, 1
    frames = 0
    at = 12
    try:
        while True:
            if at + 8 > end:
                return turn or 1, frames or 1
            name, length = struct.unpack("<4sL", source.read(at, 8))
            frames += name == b"ANMF"
            if name == b"EXIF" and turn is None:
                turn = exif.orientation(source.read(at + 8, min(length, _MAX_EXIF)))
            at += 8 + length + length % 2
    except CutShort:
        if not source.partial:
            raise
    return turn, None if animated else 1
