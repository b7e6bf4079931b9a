"""The format of a file by its first bytes, never by its name."""

from __future__ import annotations

import struct

from shared.errors import ImageInvalid, ImageUnsupported
from shared.images.headers.info import Format
from shared.images.headers.source import CutShort

HEAD = 4096

_PNG = b"\x89PNG\r\n\x1a\n"
_MAGIC: dict[bytes, Format] = {
    b"\xff\xd8\xff": "jpeg",
    _PNG: "png",
    b"GIF87a": "gif",
    b"GIF89a": "gif",
    b"II*\0": "tiff",
    b"MM\0*": "tiff",
    b"II+\0": "tiff",
    b"MM\0+": "tiff",
}
_BMP_HEADERS = {12, 40, 52, 56, 64, 108, 124}

#: Offset and magic number of unsupported formats, and their names.
_FOREIGN: tuple[tuple[int, bytes, str], ...] = (
    (0, b"%PDF", "PDF"),
    (0, b"%!PS", "PostScript"),
    (0, b"8BPS", "Photoshop (PSD)"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\0\0\0\x0cJXL ", "JPEG XL"),
    (0, b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"\0\0\x01\0", "ICO"),
    (0, b"\0\0\x02\0", "CUR"),
    (0, b"qoif", "QOI"),
    (0, b"DDS ", "DDS"),
    (0, b"gimp xcf", "GIMP (XCF)"),
    (0, b"FUJIFILMCCD-RAW", "camera raw"),
    (0, b"IIRO", "camera raw"),
    (0, b"IIU\0", "camera raw"),
    (0, b"PK\x03\x04", "ZIP"),
    (0, b"\x1f\x8b", "gzip"),
    (0, b"Rar!", "RAR"),
    (0, b"7z\xbc\xaf\x27\x1c", "7-Zip"),
    (0, b"\x1a\x45\xdf\xa3", "Matroska or WebM video"),
    (0, b"\x7fELF", "a program"),
    (0, b"MZ", "a program"),
    (8, b"AVI ", "AVI video"),
    (8, b"WAVE", "WAVE sound"),
)

_AVIF_BRANDS = {b"avif", b"avis"}
_HEIC_BRANDS = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"}


def identify(head: bytes) -> Format:
    """The format of a file that begins with `head` (its first `HEAD` bytes, or all there are).

    Raises:
        ImageUnsupported: an unsupported format, which the message names if it is known.
        ImageInvalid: empty, or a PNG whose line endings were changed in transfer.
        CutShort: too few bytes to tell.
    """
    if not head:
        raise ImageInvalid("The file is empty.")
    found = _known(head)
    if found is not None:
        return found
    if len(head) < 12 and _could_become_known(head):
        raise CutShort
    if head[4:8] == b"ftyp" and len(head) < min(int.from_bytes(head[:4]), HEAD):
        raise CutShort  # the brand of AVIF may follow
    if head.startswith(b"\x89PNG"):
        raise ImageInvalid("The PNG was damaged in transfer: its line endings were changed.")
    raise ImageUnsupported(f"{_foreign(head)} is not supported; {_SUPPORTED}.")


_SUPPORTED = "send a JPEG, PNG, WebP, AVIF, TIFF, BMP or GIF"


def _known(head: bytes) -> Format | None:
    for magic, image_format in _MAGIC.items():
        if head.startswith(magic):
            return image_format
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "webp"
    if head[4:8] == b"ftyp" and _brands(head) & _AVIF_BRANDS:
        return "avif"
    if head.startswith(b"BM") and _is_bmp(head):
        return "bmp"
    return None


def _could_become_known(head: bytes) -> bool:
    """Whether these few bytes may be the beginning of a supported format."""
    # An AVIF begins with the length of its first box, in four bytes.
    if head[0] == 0 and b"ftyp".startswith(head[4:8]):
        return True
    return head.startswith((b"RIFF", b"BM")) or any(
        magic.startswith(head) for magic in (*_MAGIC, b"RIFF", b"BM")
    )


def _brands(head: bytes) -> set[bytes]:
    """The major and the compatible brands of an ISO media file."""
    (length,) = struct.unpack_from(">L", head)
    box = head[: min(length, len(head))]
    return {box[8:12], *(box[at : at + 4] for at in range(16, len(box) - 3, 4))}


def _is_bmp(head: bytes) -> bool:
    """Whether a file that begins with the letters BM is a bitmap rather than text."""
    if len(head) < 18:
        raise CutShort
    return struct.unpack_from("<L", head, 14)[0] in _BMP_HEADERS


def _foreign(head: bytes) -> str:
    for offset, magic, name in _FOREIGN:
        if head.startswith(magic, offset):
            return name
    if head[4:8] == b"ftyp":
        return "HEIC" if _brands(head) & _HEIC_BRANDS else "This video or media file"
    return _text(head) or "This file's format"


def _text(head: bytes) -> str | None:
    """The kind of text this is, or None where it is not text."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = head.decode("utf-16", "replace")
    elif b"\0" in head:
        return None
    else:
        text = head.decode("utf-8-sig", "replace")
        if text[:-1].count("\ufffd") > len(text) // 10:
            return None
    start = text.lstrip().lower()
    if "<svg" in start:
        return "SVG"
    if start.startswith("<!doctype html") or "<html" in start:
        return "HTML"
    if start.startswith("<"):
        return "XML"
    return "JSON" if start.startswith(("{", "[")) else "Text"
