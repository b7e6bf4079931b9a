"""Fuzz targets. A target returns (width, height) as stored, or raises.

An `ImageError` refuses the file. `Wrong` reports a contradictory answer. Anything else that
a target raises, or does to its process, is a fault.
"""

from __future__ import annotations

import io
import warnings
import zlib

from shared.errors import ImageError
from shared.images.headers import ImageInfo, memory_bound
from shared.images.probe import probe

#: Pixels of the largest image decoded: the memory limit is for small ones.
DECODED = 250_000


class Wrong(Exception):
    """An answer that contradicts itself or another."""


def probe_file(data: bytes) -> tuple[int, int]:
    """Probe the whole file as a stream, then a prefix of it as a partial file."""
    stream = io.BytesIO(data)
    stream.seek(len(data) // 2)
    info = failure = None
    try:
        info = probe(stream)
    except ImageError as error:
        failure = error
    if stream.tell():
        raise Wrong("the stream was not left at its start")
    head = data[: 1 + zlib.crc32(data) % len(data)] if data else b""
    try:
        early = probe(head, partial=True)
    except ImageError as error:
        if info is not None:
            raise Wrong(f"its first {len(head)} bytes are refused: {error}") from error
        early = None
    if early is not None:
        _check(early)
    if info is None:
        raise failure or Wrong("neither an answer nor an error")
    _check(info)
    if early is not None and early.orientation is not None and _stored(early) != _stored(info):
        raise Wrong(f"its first {len(head)} bytes are {early}, all of it is {info}")
    return _stored(info)


def decode_file(data: bytes) -> tuple[int, int]:
    """Decode the file, if it is small."""
    from shared.images.decode import decode

    photo = decode(data, max_pixels=DECODED)
    info = probe(data)
    if (photo.width, photo.height) != (info.width, info.height):
        raise Wrong(f"the header says {info}, the photo is {photo.width}×{photo.height}")
    return _stored(info)


def pillow_size(data: bytes) -> tuple[int, int]:
    """The size as stored, by Pillow; the expected result of the other targets."""
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None
    warnings.simplefilter("ignore")
    with Image.open(io.BytesIO(data)) as image:
        width, height = image.size
        # For this format alone Pillow gives the size as displayed.
        turned = image.format == "TIFF" and image.getexif().get(0x0112) in {5, 6, 7, 8}
        return (height, width) if turned else (width, height)


def _check(info: ImageInfo) -> None:
    sound = (
        info.width > 0
        and info.height > 0
        and (info.orientation is None or 1 <= info.orientation <= 8)
        and (info.frames is None or info.frames > 0)
        and info.bits > 0
        and info.channels > 0
        and memory_bound(info) > 0
    )
    if not sound:
        raise Wrong(f"impossible: {info}")


def _stored(info: ImageInfo) -> tuple[int, int]:
    turned = info.orientation in {5, 6, 7, 8}
    return (info.height, info.width) if turned else (info.width, info.height)
