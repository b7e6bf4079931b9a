"""JPEG: its segments, and whether the file is complete."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from shared.errors import ImageInvalid, ImageTooLarge, ImageUnsupported
from shared.images.headers import exif
from shared.images.headers.info import ImageInfo
from shared.images.headers.source import ByteSource, CutShort

_SOI, _EOI, _SOS, _COM = 0xD8, 0xD9, 0xDA, 0xFE
_APP0, _APP1, _APP2, _ADOBE, _APP15 = 0xE0, 0xE1, 0xE2, 0xEE, 0xEF
_STANDALONE = {0x01, *range(0xD0, 0xD9)}
_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}
#: Bytes between segments, in all.
_MAX_JUNK = 4096
#: Metadata comes in segments of 64 KB: 50 MB of it are 800.
_MAX_MARKERS = 10_000
#: Bytes read for the next marker and its length: almost always it follows at once.
_NEAR = 16
_MAX_SCANS = 100
_LONGEST = 65_500  # Of libjpeg, less than the format's own 65,535.

_ANY_MARKER = re.compile(rb"\xff[^\x00\xff]")
# In coded data 0xFF is followed by zero or a restart marker; anything else ends the data.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


class Segment(NamedTuple):
    """A marker's payload, from `start` to `end`, without its two length bytes."""

    marker: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Jpeg:
    """The header of a JPEG, up to its first scan; `scan` is the offset of that scan's marker."""

    info: ImageInfo
    segments: tuple[Segment, ...]
    scan: int | None

    def profile(self, data: bytes) -> bytes | None:
        """The ICC profile, joined from its numbered parts; None where there is none.

        Raises:
            ValueError: parts are missing.
        """
        parts: dict[int, bytes] = {}
        expected = 0
        for segment in self.segments:
            body = data[segment.start : segment.end]
            if segment.marker == _APP2 and body.startswith(b"ICC_PROFILE\0") and len(body) >= 14:
                expected = max(expected, body[13])
                parts[body[12]] = body[14:]
        if not parts:
            return None
        if sorted(parts) != list(range(1, expected + 1)):
            raise ValueError("parts of the profile are missing")
        return b"".join(parts[number] for number in sorted(parts))

    def require_end(self, data: bytes) -> int:
        """The offset of the picture's end marker.

        libjpeg fills a picture that ends early with gray, and OpenCV does not report it; so this
        walks the file, scan by scan, to the marker that closes it. It does not search from the
        back, because an EXIF thumbnail or a second picture has an end marker too.

        Raises:
            ImageInvalid: there is none, or more scans precede it than any encoder writes.
        """
        at = self.scan if self.scan is not None else len(data)
        scans = markers = 0
        while found := _MARKER.search(data, at):
            marker = data[found.start() + 1]
            if marker == _EOI:
                return found.start()
            scans += marker == _SOS
            if scans > _MAX_SCANS:
                # Each pass covers the whole picture again: a few bytes each, minutes together.
                raise ImageInvalid(f"The JPEG has more than {_MAX_SCANS} scans.")
            markers = _counted(markers)
            at = found.end() + int.from_bytes(data[found.end() : found.end() + 2])
        raise ImageInvalid("The JPEG is cut short.")

    def without_metadata(self, data: bytes) -> bytes:
        """The same picture with only the segments that its pixels need."""
        dropped = {*range(_APP0, _APP15 + 1), _COM} - {_ADOBE}
        kept = [data[s.start - 4 : s.end] for s in self.segments if s.marker not in dropped]
        return b"".join([b"\xff\xd8", *kept, data[self.scan :]])


def read(source: ByteSource) -> Jpeg:
    """Read the segments before the first scan.

    Raises:
        ImageInvalid, ImageUnsupported, ImageTooLarge: no decoder would accept it.
        CutShort: the file ends before its frame header; if it is not partial, before its scan.
    """
    segments: list[Segment] = []
    frame: Segment | None = None
    turn: int | None = None
    scan: int | None = None
    try:
        for segment in _segments(source):
            if segment.marker == _SOS:
                scan = segment.start - 4
                break
            segments.append(segment)
            if segment.marker in _FRAMES:
                frame = segment
            elif turn is None and _is_exif(source, segment):
                turn = exif.orientation(source.read(segment.start, segment.end - segment.start))
    except CutShort:
        if frame is None or not source.partial:
            raise
    if frame is None:
        raise ImageInvalid("The JPEG has no frame header.")
    if scan is not None and turn is None:
        turn = 1
    return Jpeg(_info(source, frame, turn), tuple(segments), scan)


def _is_exif(source: ByteSource, segment: Segment) -> bool:
    """Whether a segment holds EXIF; others of its kind hold 64 KB of XMP each."""
    return segment.marker == _APP1 and source.head(6, segment.start) == b"Exif\0\0"


def _segments(source: ByteSource) -> Iterator[Segment]:
    at = 2
    markers = 0
    junk = _MAX_JUNK
    while True:
        before = at
        at, marker, following = _marker(source, at)
        junk -= at - before - 2
        if junk < 0:
            raise ImageInvalid("The JPEG is damaged.")
        if marker == _EOI:
            raise ImageInvalid("The JPEG ends before its picture begins.")
        markers = _counted(markers)
        if marker in _STANDALONE:
            continue
        length = int.from_bytes(following)
        if len(following) < 2:
            raise CutShort
        if length < 2:
            raise ImageInvalid("The JPEG has a segment of impossible length.")
        source.require(at + length)
        yield Segment(marker, at + 2, at + length)
        at += length


def _counted(markers: int) -> int:
    """One marker more.

    Raises:
        ImageInvalid: more than any encoder writes; 50 MB of empty segments would be 12 million.
    """
    if markers == _MAX_MARKERS:
        raise ImageInvalid(f"The JPEG has more than {_MAX_MARKERS:,} segments.")
    return markers + 1


def _marker(source: ByteSource, at: int) -> tuple[int, int, bytes]:
    """The next marker from `at`; skips other bytes before it.

    Returns:
        The offset after the marker, the marker, and the two bytes there, where a length may be.
    """
    ahead = source.head(_NEAR, at)
    found = _ANY_MARKER.search(ahead, 0, _NEAR - 2)
    if found is None:
        ahead = source.head(_MAX_JUNK + 2, at)
        found = _ANY_MARKER.search(ahead, 0, _MAX_JUNK)
    if found is None:
        raise CutShort if len(ahead) < _MAX_JUNK else ImageInvalid("The JPEG is damaged.")
    end = found.end()
    return at + end, ahead[end - 1], ahead[end : end + 2]


def _info(source: ByteSource, frame: Segment, turn: int | None) -> ImageInfo:
    if frame.end - frame.start < 6:
        raise ImageInvalid("The JPEG's frame header is cut short.")
    header = source.read(frame.start, 6)
    bits, channels = header[0], header[5]
    if bits != 8:
        raise ImageUnsupported(f"A JPEG of {bits} bits is not supported.")
    if channels not in {1, 3, 4}:
        raise ImageUnsupported(f"A JPEG of {channels} components is not supported.")
    size = (int.from_bytes(header[3:5]), int.from_bytes(header[1:3]))
    if max(size) > _LONGEST:
        raise ImageTooLarge(
            f"The JPEG is {size[0]}×{size[1]}; at most {_LONGEST} per side are supported."
        )
    progressive = frame.marker in _PROGRESSIVE
    return ImageInfo.stored("jpeg", size, turn, channels=channels, progressive=progressive)
