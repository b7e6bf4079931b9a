"""WebP, GIF and BMP: their headers."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from shared.errors import ImageInvalid
from shared.images.headers import exif
from shared.images.headers.info import ImageInfo
from shared.images.headers.source import CutShort, Source

_EXIF_FLAG, _ANIMATION_FLAG, _ALPHA_FLAG = 0x08, 0x02, 0x10
_MAX_EXIF = 1 << 20
_MAX_PARTS = 500_000
_BMP_RUNS = {1, 2}


def read_webp(source: Source) -> ImageInfo:
    """A WebP's size, turn and number of frames.

    Raises:
        ImageInvalid: no decoder would take it.
        CutShort: it ends before its header; or, if not partial, before it says it does.
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
        return ImageInfo("webp", width, height)
    if name == b"VP8L":
        fields = int.from_bytes(head[1:5], "little")
        width, height = (fields & 0x3FFF) + 1, (fields >> 14 & 0x3FFF) + 1
        return ImageInfo("webp", width, height, channels=4)
    if name != b"VP8X":
        raise ImageInvalid("The WebP is damaged.")
    size = (int.from_bytes(head[4:7], "little") + 1, int.from_bytes(head[7:10], "little") + 1)
    turn, frames = _webp_extras(source, head[0], 8 + length)
    return ImageInfo.stored(
        "webp", size, turn, frames=frames, channels=4 if head[0] & _ALPHA_FLAG else 3
    )


def _webp_extras(source: Source, flags: int, end: int) -> tuple[int | None, int | None]:
    """Orientation and number of frames, from the chunks after the header; None for not seen."""
    turn = None if flags & _EXIF_FLAG else 1
    animated = bool(flags & _ANIMATION_FLAG)
    if turn is not None and not animated:
        return turn, 1
    frames = 0
    at = 12
    try:
        for _ in range(_MAX_PARTS):
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


@dataclass(frozen=True, slots=True)
class Gif:
    """A GIF; `box` is where its first frame lies: left, top, right, bottom."""

    info: ImageInfo
    box: tuple[int, int, int, int]


def read_gif(source: Source) -> Gif:
    """A GIF's size, and where its first frame lies.

    The size is that of the screen, or of the first frame where that reaches beyond it.

    Raises:
        ImageInvalid: it has no frame, or is damaged.
        CutShort: it ends before its first frame; or, if not partial, in the middle of a block.
    """
    width, height, flags = struct.unpack("<HHB", source.read(6, 5))
    at = 13 + _palette(flags)
    box: tuple[int, int, int, int] | None = None
    frames: int | None = 0
    try:
        for _ in range(_MAX_PARTS):
            # That no end marker follows the pictures is common, and no loss.
            at_end = at == source.size and box is not None and not source.partial
            kind = b";" if at_end else source.read(at, 1)
            if kind == b",":
                left, top, wide, high, flags = struct.unpack("<4HB", source.read(at + 1, 9))
                box = box or (left, top, left + wide, top + high)
                frames = (frames or 0) + 1
                at = _after_blocks(source, at + 11 + _palette(flags))
            elif kind == b"!":
                at = _after_blocks(source, at + 2)
            else:
                break  # The end marker, or something that was put after the pictures.
    except CutShort:
        if box is None or not source.partial:
            raise
        frames = None
    if box is None:
        raise ImageInvalid("The GIF has no picture, or is damaged before it.")
    if box[0] == box[2] or box[1] == box[3]:
        raise ImageInvalid("The GIF's first frame has no pixels.")
    size = (max(width, box[2]), max(height, box[3]))
    return Gif(ImageInfo("gif", *size, frames=frames, channels=1), box)


def _palette(flags: int) -> int:
    """Bytes of the palette that follows."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _after_blocks(source: Source, at: int) -> int:
    """The offset after a chain of data blocks that begins at `at`."""
    while length := source.read(at, 1)[0]:
        at += 1 + length
    return at + 1


def read_bmp(source: Source) -> ImageInfo:
    """A BMP's size.

    Raises:
        ImageInvalid: no decoder would take it.
        CutShort: it ends before its header does.
    """
    (length,) = struct.unpack("<L", source.read(14, 4))
    if length == 12:
        width, height, _, bits = struct.unpack("<4H", source.read(18, 8))
    else:
        width, height, _, bits = struct.unpack("<llHH", source.read(18, 12))
    if width < 0:
        raise ImageInvalid("The BMP claims a width below zero.")
    # A height below zero tells that the rows run from the top.
    return ImageInfo("bmp", width, abs(height), bits=min(bits, 8), channels=max(1, bits // 8))


def require_bmp_runs(source: Source) -> None:
    """Raise `CutShort` where a BMP of run lengths ends before them; Pillow would leave it black."""
    pixels, header = struct.unpack("<LL", source.read(10, 8))
    compression, length = struct.unpack("<LL", source.read(30, 8)) if header >= 40 else (0, 0)
    if compression in _BMP_RUNS:
        source.require(pixels + length)
