"""GIF: size, number of frames, and the place of the first frame."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from shared.errors import ImageInvalid
from shared.images.headers.info import ImageInfo
from shared.images.headers.source import ByteSource, CutShort

#: Data blocks in the whole file. A full block holds 255 bytes, so a file of 50 MB has 200,000.
_MAX_BLOCKS = 400_000
#: Bytes read at a time: of a chain's first blocks, and of those that follow.
_FIRST, _WINDOW = 1 << 9, 1 << 16


@dataclass(frozen=True, slots=True)
class Gif:
    """The header of a GIF; `box` is its first frame's (left, top, right, bottom), in pixels."""

    info: ImageInfo
    box: tuple[int, int, int, int]


def read(source: ByteSource) -> Gif:
    """Walk all blocks of the file, or those that a partial one has.

    The size is that of the screen, enlarged where the first frame extends beyond it.

    Raises:
        ImageInvalid: no frame, or damaged.
        CutShort: the file ends before its first frame; if it is not partial, inside any block.
    """
    width, height, flags = struct.unpack("<HHB", source.read(6, 5))
    blocks = _Blocks(source)
    at = 13 + _palette(flags)
    box: tuple[int, int, int, int] | None = None
    frames: int | None = 0
    try:
        while True:
            # Many files lack the end marker after their pictures; nothing is lost by that.
            at_end = at == source.size and box is not None and not source.partial
            kind = b";" if at_end else source.read(at, 1)
            if kind == b",":
                left, top, wide, high, flags = struct.unpack("<4HB", source.read(at + 1, 9))
                box = box or (left, top, left + wide, top + high)
                frames = (frames or 0) + 1
                at = blocks.after(at + 11 + _palette(flags))
            elif kind == b"!":
                at = blocks.after(at + 2)
            else:
                break  # The end marker, or bytes that something appended after the pictures.
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
    """Size in bytes of the palette that follows these flags."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


class _Blocks:
    """Passes over chains of data blocks, up to a limit for the whole file."""

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self._left = _MAX_BLOCKS

    def after(self, at: int) -> int:
        """The offset after the chain that begins at `at`."""
        window = self._source.head(_FIRST, at)
        while True:
            place, end = 0, len(window)
            if not end:
                raise CutShort
            left = self._left
            while place < end and (length := window[place]):
                place += 1 + length
                left -= 1
            self._left = left
            if left < 0:
                raise ImageInvalid(f"The GIF has more than {_MAX_BLOCKS:,} data blocks.")
            at += place
            if place < end:
                return at + 1
            window = self._source.head(_WINDOW, at)
