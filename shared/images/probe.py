"""What an upload is, from its header alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import IO, Literal, overload

from shared.errors import ImageInvalid, ImageTooLarge
from shared.images.headers import avif, containers, jpeg, png, sniff, tiff
from shared.images.headers.info import MAX_PIXELS, Format, ImageInfo
from shared.images.headers.source import CutShort, Source

_READERS: dict[Format, Callable[[Source], ImageInfo]] = {
    "jpeg": lambda source: jpeg.read(source).info,
    "png": lambda source: png.read(source).info,
    "webp": containers.read_webp,
    "avif": lambda source: avif.read(source).info,
    "tiff": lambda source: tiff.read(source).info,
    "bmp": containers.read_bmp,
    "gif": lambda source: containers.read_gif(source).info,
}


@overload
def probe(
    source: IO[bytes] | bytes, *, max_pixels: int = ..., partial: Literal[False] = ...
) -> ImageInfo: ...


@overload
def probe(
    source: IO[bytes] | bytes, *, max_pixels: int = ..., partial: bool
) -> ImageInfo | None: ...


def probe(
    source: IO[bytes] | bytes, *, max_pixels: int = MAX_PIXELS, partial: bool = False
) -> ImageInfo | None:
    """The format and size of an image, without decoding a pixel.

    A stream must be seekable and is left at its start. With `partial`, the bytes are only the
    head of a longer file: what they do not decide is None rather than an error.

    Raises:
        ImageUnsupported: not one of the formats taken; the message names what it seems to be.
        ImageInvalid: empty, cut short in a way that the header shows, or without pixels.
        ImageTooLarge: more than `max_pixels`.
    """
    file = Source(source, partial=partial)
    try:
        image_format = sniff.identify(file.head(sniff.HEAD))
        info = _READERS[image_format](file)
    except CutShort as error:
        if partial:
            return None
        raise ImageInvalid("The file is cut short.") from error
    finally:
        file.rewind()
    check_size(info, max_pixels)
    return info


def check_size(info: ImageInfo, max_pixels: int) -> None:
    """Raise ImageInvalid for an image without pixels, ImageTooLarge for one with too many."""
    if not info.pixels:
        raise ImageInvalid(f"The image has no pixels: it is {info.width}×{info.height}.")
    if info.pixels > max_pixels:
        raise ImageTooLarge(
            f"The image is {info.width}×{info.height}, {info.pixels / 1e6:.1f} megapixels;"
            f" at most {max_pixels / 1e6:g} are taken."
        )
