"""A file to a photo: upright, 8-bit, sRGB."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import IO

import cv2
import numpy as np
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    JpegImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from shared.arrays import UInt8Array
from shared.errors import ImageInvalid
from shared.images import colour, headers, memory, raster
from shared.images.headers import MAX_PIXELS, ByteSource, CutShort, Header, ImageInfo
from shared.images.photo import Photo
from shared.images.probe import check_size
from shared.images.raster import Raster

#: Bounds a block by what a header says of its picture.
Bounds = Callable[[ImageInfo], AbstractContextManager[object]]


def _unbounded(_: ImageInfo) -> AbstractContextManager[object]:
    return nullcontext()


def decode(
    data: bytes | IO[bytes], *, max_pixels: int = MAX_PIXELS, bounds: Bounds = _unbounded
) -> Photo:
    """The photo in a file, as displayed; the first of several pictures, with a warning.

    Safe to call from many threads at once. A sound file needs at most `memory_bound` bytes; one
    that was made to need more is stopped by `bounds` alone, which a process of its own can set:
    see `worker.decoding`.

    Raises:
        ImageUnsupported: not one of the supported formats, or an unsupported variant of one.
        ImageInvalid: damaged or cut short, anywhere in the file.
        ImageTooLarge: more than `max_pixels` by its header; nothing is allocated.
        OutOfMemory: the machine had too little memory for it.
    """
    if not isinstance(data, bytes):
        data.seek(0)
        data = data.read()
    source = ByteSource(data)
    try:
        header = headers.read(source)
        check_size(header.info, max_pixels)
        with memory.telling_shortage(header.info), bounds(header.info):
            return _finish(_pixels(header, source, data), header.info)
    except CutShort as error:
        raise ImageInvalid("The file is cut short.") from error


def _pixels(  # noqa: PLR0911 - one per format
    header: Header, source: ByteSource, data: bytes
) -> Raster:
    """The stored pixels of the first picture."""
    match header:
        case headers.Jpeg():
            return _jpeg(header, data)
        case headers.Png():
            return _png(header, data)
        case headers.WebP():
            return _webp(header, data)
        case headers.Avif():
            return _avif(header, data)
        case headers.Tiff():
            return _tiff(header, data)
        case headers.Gif():
            return _gif(header, data)
        case headers.Bmp():
            header.require_runs(source)
            return raster.by_pillow(BmpImagePlugin.BmpImageFile, data, header.info)[0]


def _finish(found: Raster, info: ImageInfo) -> Photo:
    rgb = colour.to_srgb(found.samples, found.profile, found.warnings)
    alpha = found.alpha
    if alpha is not None and alpha.min() == 255:
        alpha = None
    turn = info.orientation or 1
    return Photo(
        rgb=raster.upright(rgb, turn),
        alpha=None if alpha is None else raster.upright(alpha, turn),
        warnings=tuple(found.warnings),
    )


def _first_of(frames: int) -> list[str]:
    if frames <= 1:
        return []
    return [f"The file holds {frames} pictures; only the first was used."]


def _jpeg(header: headers.Jpeg, data: bytes) -> Raster:
    end = header.require_end(data)
    samples = _jpeg_samples(header, data)
    if _may_have_run_out(samples):
        longer = data[:end] + _FILLER + data[end:]
        if not np.array_equal(samples, _jpeg_samples(header, longer)):
            raise ImageInvalid("The JPEG is cut short: its data ends before its pixels do.")
    found = Raster(samples)
    try:
        found.profile = header.profile(data)
    except ValueError as error:
        found.warnings.append(f"The colour profile was ignored: {error}.")
    return found


#: Invented coded data for before the end marker: a decoder that had all its data skips it, and one
#: that ran out takes it for pixels.
_FILLER = (bytes(range(1, 255)) * 17)[:4096]


def _jpeg_samples(header: headers.Jpeg, data: bytes) -> UInt8Array:
    """(H, W), (H, W, 3) or (H, W, 4) as stored.

    OpenCV and Pillow contain the same decoder and give the same pixels; OpenCV needs less time
    and memory. It does not give CMYK, so Pillow decodes that.
    """
    info = header.info
    if info.channels != 4:
        flags = cv2.IMREAD_GRAYSCALE if info.channels == 1 else cv2.IMREAD_COLOR_RGB
        found = raster.by_opencv(data, flags)
        if found is not None and found.shape[0] * found.shape[1] == info.pixels:
            return np.asarray(found, np.uint8)
    pixels = header.without_metadata(data)
    return raster.by_pillow(JpegImagePlugin.JpegImageFile, pixels, info)[0].samples


def _may_have_run_out(samples: UInt8Array) -> bool:
    """Whether the last pixels are the middle gray that a decoder writes where its data ran out."""
    corner = samples[-8:, -8:].astype(np.int16)
    return bool((np.abs(corner - 128) <= 1).all())


def _png(header: headers.Png, data: bytes) -> Raster:
    found = _png_samples(header, data)
    try:
        found.profile = header.profile(data)
    except ValueError as error:
        found.warnings.append(f"The colour profile was ignored: {error}.")
    found.warnings += _first_of(header.info.frames or 1)
    return found


def _png_samples(header: headers.Png, data: bytes) -> Raster:
    """Samples and alpha by OpenCV: Pillow cuts 16 bits to 8, and leaves missing rows black."""
    pixels = header.pixels_only(data)
    if len(pixels) > _most_packed(header.info):  # libpng would unpack all of it
        raise ImageInvalid("The PNG holds far more data than its pixels need.")
    found = raster.by_opencv(pixels, cv2.IMREAD_UNCHANGED)
    if found is None or found.shape[0] * found.shape[1] != header.info.pixels:
        raise ImageInvalid("The PNG is damaged or cut short.")
    alpha: UInt8Array | None = None
    transparent = header.transparent_colour(data)
    if found.ndim == 3 and found.shape[2] == 4:
        alpha = colour.to_eight_bits(found[..., 3])
    elif transparent is not None:
        key = np.array(transparent[::-1], found.dtype)
        shown = (found.reshape(*found.shape[:2], -1) != key).any(axis=2)
        alpha = shown.astype(np.uint8) * np.uint8(255)
    return Raster(colour.to_eight_bits(found if found.ndim == 2 else found[..., 2::-1]), alpha)


def _most_packed(info: ImageInfo) -> int:
    """More bytes than a PNG's pixels need, however badly they are packed and cut into chunks."""
    return 8 * info.height * (2 + info.width * info.channels * info.bits // 8) + (4 << 20)


def _webp(header: headers.WebP, data: bytes) -> Raster:
    found, image = raster.by_pillow(WebPImagePlugin.WebPImageFile, data, header.info)
    found.profile = image.info.get("icc_profile")
    found.warnings += _first_of(header.info.frames or 1)
    return found


def _avif(header: headers.Avif, data: bytes) -> Raster:
    pixels = header.without_metadata(data)
    found, image = raster.by_pillow(AvifImagePlugin.AvifImageFile, pixels, header.info)
    found.profile = image.info.get("icc_profile")
    found.warnings += _first_of(getattr(image, "n_frames", 1))
    return found


def _tiff(header: headers.Tiff, data: bytes) -> Raster:
    pixels = header.pixels_only(data)
    found, _ = raster.by_pillow(TiffImagePlugin.TiffImageFile, pixels, header.info)
    if header.info.bits in {12, 16} and header.white_is_zero:
        # Pillow inverts them only where they have 8 bits or fewer.
        found.samples = np.invert(found.samples)
    if not header.lab:
        found.profile = header.profile(data)
    found.warnings += _first_of(header.info.frames or 1)
    return found


def _gif(header: headers.Gif, data: bytes) -> Raster:
    found, _ = raster.by_pillow(GifImagePlugin.GifImageFile, data, header.info)
    found.alpha = _only_inside(found, header.box)
    found.warnings += _first_of(header.info.frames or 1)
    return found


def _only_inside(found: Raster, box: tuple[int, int, int, int]) -> UInt8Array | None:
    """The alpha of a frame that may leave part of its screen empty."""
    height, width = found.samples.shape[:2]
    if box == (0, 0, width, height):
        return found.alpha
    left, top, right, bottom = box
    alpha = np.zeros((height, width), np.uint8)
    inside = (slice(top, bottom), slice(left, right))
    alpha[inside] = 255 if found.alpha is None else found.alpha[inside]
    return alpha
