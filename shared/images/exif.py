"""EXIF: the part of a photo's metadata that its result keeps."""

from __future__ import annotations

import io

from PIL import ExifTags, Image

#: A JPEG segment holds 65,533 bytes, six of which are EXIF's own prefix.
_LONGEST = 65_527
#: Tags about the pixels of the old file, which the new one does not have.
_OF_THE_PIXELS = {
    *(0x0100, 0x0101, 0x0102, 0x0103, 0x0106, 0x0112, 0x0115, 0x011A, 0x011B, 0x0128),
    *(0x0111, 0x0116, 0x0117, 0x011C, 0x013E, 0x013F, 0x0142, 0x0143, 0x0144, 0x0145),
    *(0x0201, 0x0202, 0x0211, 0x0212, 0x0213, 0x02BC, 0x8773, 0x83BB, 0x8649),
}
#: The same in the EXIF directory, and the maker's notes, which point into the old file.
_OF_THE_FILE = {0x9101, 0x9102, 0xA001, 0xA002, 0xA003, 0xA005, 0x927C}


def kept(data: bytes) -> bytes:
    """The EXIF block of a photo's file to copy to its result; empty where there is none.

    Keeps camera, dates, place and author. Drops what describes the old file's pixels
    (orientation, size, thumbnail, profile) and what is not EXIF (XMP, IPTC).

    Raises:
        ValueError: it is damaged, or longer than a JPEG can hold.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            block = image.getexif()
            for tag in _OF_THE_PIXELS & block.keys():
                del block[tag]
            # Pillow writes only those directories that were read.
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
