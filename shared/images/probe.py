"""The format and size of an upload, by its header alone."""

from __future__ import annotations

from typing import IO, Literal, overload

from shared.errors import ImageInvalid, ImageTooLarge
from shared.images import headers
from shared.images.headers import MAX_PIXELS, ByteSource, CutShort, ImageInfo


@overload
def probe(
    file: IO[bytes] | bytes, *, max_pixels: int = ..., partial: Literal[False] = ...
) -> ImageInfo: ...


@overload
def probe(file: IO[bytes] | bytes, *, max_pixels: int = ..., partial: bool) -> ImageInfo | None: ...


def probe(
    file: IO[bytes] | bytes, *, max_pixels: int = MAX_PIXELS, partial: bool = False
) -> ImageInfo | None:
    """The format and size of an image, without decoding a pixel.

    A stream must be seekable, and is left at its start. With `partial`, the bytes are only the
    head of a longer file, and the answer is None where they are too few to tell.

    Raises:
        ImageUnsupported: not one of the supported formats; the message says what it appears to be.
        ImageInvalid: empty, without pixels, or visibly cut short.
        ImageTooLarge: more than `max_pixels`.
    """
    source = ByteSource(file, partial=partial)
    try:
        info = headers.read(source).info
    except CutShort as error:
        if partial:
            return None
        raise ImageInvalid("The file is cut short.") from error
    finally:
        source.rewind()
    check_size(info, max_pixels)
    return info


def check_size(info: ImageInfo, max_pixels: int) -> None:
    """Raise ImageInvalid for an image without pixels, ImageTooLarge for one with too many."""
    if info.width <= 0 or info.height <= 0:
        raise ImageInvalid(f"The image has no pixels: it is {info.width}×{info.height}.")
    if info.pixels > max_pixels:
        raise ImageTooLarge(
            f"The image is {info.width}×{info.height}, {info.pixels / 1e6:.1f} megapixels;"
            f" at most {max_pixels / 1e6:g} are accepted."
        )
