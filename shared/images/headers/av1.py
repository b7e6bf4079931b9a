"""AV1: the size of the picture in a bitstream, from its headers (AV1 specification, 5.3–5.9)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from shared.errors import ImageInvalid
from shared.images.headers.source import ByteSource, CutShort

Size = tuple[int, int]
_MAX_UNITS = 128
#: One per layer of a layered picture; a decoder holds all of them.
_MAX_FRAMES = 4
#: Bytes from the start of a header to the last field read here, at most.
_HEAD = 512

_SEQUENCE, _FRAMES, _KEY, _SWITCH = 1, {3, 6, 7}, 0, 3
#: The value of a flag that each frame sets for itself.
_BY_FRAME = 2


def picture_size(source: ByteSource, start: int, end: int) -> Size:
    """Width and height of the picture in these bytes, which all its frames must have.

    Raises:
        ImageInvalid: no sequence header before the first frame, several that differ, a frame with
            a size of its own (a decoder believes it), or more frames than one picture has.
        CutShort: a unit extends beyond `end`, or a header beyond its unit.
    """
    sequence: _Sequence | None = None
    frames = 0
    for kind, head in _units(source, start, end):
        if kind == _SEQUENCE:
            found = _sequence(_Bits(head))
            if sequence is not None and found.size != sequence.size:
                raise ImageInvalid("The AVIF holds a picture of several sizes.")
            sequence = found
        elif kind in _FRAMES:
            if sequence is None or _has_own_size(_Bits(head), sequence):
                raise ImageInvalid("The AVIF holds a frame of another size than its picture.")
            frames += 1
    if sequence is None or not 0 < frames <= _MAX_FRAMES:
        raise ImageInvalid("The AVIF holds no picture, or too many frames of one.")
    return sequence.size


def _units(source: ByteSource, start: int, end: int) -> Iterator[tuple[int, bytes]]:
    """The type of each unit (OBU) and the head of its payload."""
    for _ in range(_MAX_UNITS):
        if start >= end:
            return
        head = source.read(start, min(_HEAD, end - start))
        at = 2 if head[0] & 4 else 1
        length = end - start - at
        if head[0] & 2:
            # 7 bits per byte, the low ones first.
            last = next((place for place in range(at, at + 8) if head[place] < 128), at + 7)
            length = sum((head[place] & 127) << 7 * (place - at) for place in range(at, last + 1))
            at = last + 1
        if start + at + length > end:
            raise CutShort
        yield head[0] >> 3 & 15, head[at : at + length]
        start += at + length
    raise ImageInvalid("The AVIF holds a picture of too many parts.")


class _Bits:
    """Reads numbers of a given count of bits, one after the other."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data)
        self._left = 8 * len(data)

    def __call__(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise CutShort
        return self._value >> self._left & ((1 << count) - 1)


@dataclass(frozen=True, slots=True)
class _Sequence:
    size: Size
    still: bool
    time_bits: int = 0
    id_bits: int = 0
    screen_content: int = 0
    integer_motion: int = 0


def _sequence(bits: _Bits) -> _Sequence:
    """sequence_header_obu, 5.5.1, up to seq_force_integer_mv."""
    bits(4)
    still = bool(bits(1))
    time_bits = 0 * bits(5) if still else _operating_points(bits)
    width_bits, height_bits = bits(4) + 1, bits(4) + 1
    size = (bits(width_bits) + 1, bits(height_bits) + 1)
    if still:
        return _Sequence(size, still)
    id_bits = bits(4) + bits(3) + 3 if bits(1) else 0
    bits(7)
    if bits(1):
        bits(2)
    screen_content = _BY_FRAME if bits(1) else bits(1)
    integer_motion = bits(1) if screen_content and not bits(1) else _BY_FRAME
    return _Sequence(size, still, time_bits, id_bits, screen_content, integer_motion)


def _operating_points(bits: _Bits) -> int:
    """Reads timing_info_present_flag to the last point; the bits of a frame's time."""
    model = delay_bits = time_bits = 0
    if bits(1):
        bits(64)
        regular = bits(1)
        if regular:
            zeros = next(count for count in itertools.count() if bits(1))
            bits(zeros if zeros < 32 else 0)
        model = bits(1)
        if model:
            delay_bits = bits(5) + 1
            bits(37)
            time_bits = (bits(5) + 1) * (not regular)
    delayed = bits(1)
    for _ in range(bits(5) + 1):
        bits(12)
        if bits(5) > 7:
            bits(1)
        if model and bits(1):
            bits(2 * delay_bits + 1)
        if delayed and bits(1):
            bits(4)
    return time_bits


def _has_own_size(bits: _Bits, sequence: _Sequence) -> bool:
    """frame_size_override_flag of an uncompressed_header, 5.9.2."""
    if sequence.still or bits(1):
        return False
    kind, shown = bits(2), bits(1)
    bits(sequence.time_bits if shown else 1)
    if kind != _SWITCH and not (kind == _KEY and shown):
        bits(1)
    bits(1)
    by_frame = sequence.screen_content == _BY_FRAME
    if (bits(1) if by_frame else sequence.screen_content) and sequence.integer_motion == _BY_FRAME:
        bits(1)
    bits(sequence.id_bits)
    return kind == _SWITCH or bool(bits(1))
