"""A photo's EXIF block: which way up it is, and what may be kept of it."""

from __future__ import annotations

import io
import struct

from PIL import ExifTags, Image

_ORIENTATION = 0x0112
_MAX_ENTRIES = 1000
#: A JPEG's segment holds 65,533 bytes, six of them EXIF's own head.
_LONGEST = 65_527
#: Tags that tell of the pixels as they were stored, which these are not any more.
_OF_THE_PIXELS = {
    *(0x0100, 0x0101, 0x0102, 0x0103, 0x0106, 0x0112, 0x0115, 0x011A, 0x011B, 0x0128),
    *(0x0111, 0x0116, 0x0117, 0x011C, 0x013E, 0x013F, 0x0142, 0x0143, 0x0144, 0x0145),
    *(0x0201, 0x0202, 0x0211, 0x0212, 0x0213, 0x02BC, 0x8773, 0x83BB, 0x8649),
}
#: The same of the EXIF directory, with the maker's notes, which point into the old file.
_OF_THE_FILE = {0x9101, 0x9102, 0xA001, 0xA002, 0xA003, 0xA005, 0x927C}


def orientation(block: bytes) -> int:
    """The EXIF orientation, 1–8, of a TIFF-shaped EXIF block; 1 where it cannot be read.

    Metadata is often damaged in photos that are otherwise sound, so nothing here is an error.
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
                # Written as a LONG by some editors, though the standard says SHORT.
                code = {3: "H", 4: "L"}.get(kind, "H")
                (value,) = struct.unpack_from(order + code, block, entry + 8)
                return value if value in range(1, 9) else 1
    except struct.error:
        pass
    return 1


def kept(data: bytes) -> bytes:
    """The EXIF block of a photo's file to carry over to its result; empty where there is none.

    Camera, dates, place, author: all but what tells of the old file's pixels (orientation, size,
    thumbnail, profile) and what is not EXIF (XMP, IPTC).

    Raises:
        ValueError: it is damaged, or longer than a JPEG can hold.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            block = image.getexif()
            for tag in _OF_THE_PIXELS & block.keys():
                del block[tag]
            # Directories that are not read are not written.
            kinds = [kind for kind in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo) if kind in block]
            for directory in [block.get_ifd(kind) for kind in kinds]:
                for tag in _OF_THE_FILE & directory.keys():
                    del directory[tag]
            found = block.tobytes().removeprefix(b"Exif\0\0") if len(block) else b""
    except Exception as error:  # on damaged bytes Pillow may raise anything
        raise ValueError("the photo's EXIF is damaged") from error
    if len(found) > _LONGEST:
        raise ValueError("the photo's EXIF is too long")
    return found
