"""Image headers: what a file says about its picture, read without decoding a pixel.

`read` is the one entry. Files come from strangers, so every parser here keeps to one contract:

- It never allocates by a number in the file: only by bytes that are there, and up to a limit.
- It never reads beyond the bytes it was given: `ByteSource` raises `CutShort` instead.
- It raises nothing but `ImageError` and its subclasses, and `CutShort` where it needs more bytes.
- It ends soon: whatever a file repeats is counted, and refused or left uncounted beyond a limit.
- It imports neither Pillow nor OpenCV nor NumPy, so that a process that only probes stays small.

`python -m tests.fuzz` tests the first four with damaged files of every format.
"""

from __future__ import annotations

from collections.abc import Callable

from shared.images.headers import avif, bmp, gif, jpeg, png, sniff, tiff, webp
from shared.images.headers.avif import Avif
from shared.images.headers.bmp import Bmp
from shared.images.headers.gif import Gif
from shared.images.headers.info import MAX_PIXELS, Format, ImageInfo, memory_bound
from shared.images.headers.jpeg import Jpeg
from shared.images.headers.png import Png
from shared.images.headers.source import ByteSource, CutShort
from shared.images.headers.tiff import Tiff
from shared.images.headers.webp import WebP

__all__ = [
    "MAX_PIXELS",
    "Avif",
    "Bmp",
    "ByteSource",
    "CutShort",
    "Format",
    "Gif",
    "Header",
    "ImageInfo",
    "Jpeg",
    "Png",
    "Tiff",
    "WebP",
    "memory_bound",
    "read",
]

#: Each has an `info`, and what a decoder needs to know of its format besides.
Header = Avif | Bmp | Gif | Jpeg | Png | Tiff | WebP

_READERS: dict[Format, Callable[[ByteSource], Header]] = {
    "avif": avif.read,
    "bmp": bmp.read,
    "gif": gif.read,
    "jpeg": jpeg.read,
    "png": png.read,
    "tiff": tiff.read,
    "webp": webp.read,
}


def read(source: ByteSource) -> Header:
    """The header of an image file, of the format that its first bytes show.

    Raises:
        ImageUnsupported: another format, or a variant that no decoder here reads.
        ImageInvalid: empty, or the header is damaged.
        ImageTooLarge: a side is longer than the format's decoder allows.
        CutShort: the file ends before its header does; if it is not partial, also where the
            header shows that later parts are missing.
    """
    return _READERS[sniff.identify(source.head(sniff.HEAD))](source)
