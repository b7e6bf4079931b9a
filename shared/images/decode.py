"""A file to a photo: upright, 8-bit, sRGB."""

from __future__ import annotations

from collections.abc import Callable
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
from shared.images import colour, raster
from shared.images.headers import avif, containers, jpeg, png, sniff, tiff
from shared.images.headers.info import MAX_PIXELS, Format, ImageInfo
from shared.images.headers.source import CutShort, Source
from shared.images.photo import Photo
from shared.images.probe import check_size
from shared.images.raster import Raster

Opened = tuple[ImageInfo, Callable[[], Raster]]


def decode(data: bytes | IO[bytes], *, max_pixels: int = MAX_PIXELS) -> Photo:
    """The photo in a file, as displayed; of several pictures the first, with a warning.

    Safe to call from many threads at once. Takes at most `memory_bound` bytes.

    Raises:
        ImageUnsupported: not one of the formats taken, or a variant of one that is not read.
        ImageInvalid: damaged or cut short, wherever.
        ImageTooLarge: more than `max_pixels` by its header; nothing is allocated.
    """
    if not isinstance(data, bytes):
        data.seek(0)
        data = data.read()
    source = Source(data)
    try:
        image_format = sniff.identify(source.head(sniff.HEAD))
        info, load = _OPENERS[image_format](source, data)
        check_size(info, max_pixels)
        return _finish(load(), info)
    except CutShort as error:
        raise ImageInvalid("The file is cut short.") from error


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


def _open_jpeg(source: Source, data: bytes) -> Opened:
    header = jpeg.read(source)

    def load() -> Raster:
        end = jpeg.require_end(data, header)
        samples = _jpeg_samples(data, header)
        if _may_have_run_out(samples):
            longer = jpeg.with_filler(data, end, _FILLER)
            if not np.array_equal(samples, _jpeg_samples(longer, header)):
                raise ImageInvalid("The JPEG is cut short: its data ends before its pixels do.")
        found = Raster(samples)
        try:
            found.profile = jpeg.profile(data, header)
        except ValueError as error:
            found.warnings.append(f"The colour profile was left out: {error}.")
        return found

    return header.info, load


_FILLER = 4096


def _jpeg_samples(data: bytes, header: jpeg.Jpeg) -> UInt8Array:
    """(H, W), (H, W, 3) or (H, W, 4) as stored.

    OpenCV and Pillow carry the same decoder and give the same pixels; OpenCV takes less time and
    memory. It gives no CMYK, so that is Pillow's.
    """
    info = header.info
    if info.channels != 4:
        flags = cv2.IMREAD_GRAYSCALE if info.channels == 1 else cv2.IMREAD_COLOR_RGB
        found = raster.by_opencv(data, flags)
        if found is not None and found.shape[0] * found.shape[1] == info.pixels:
            return np.asarray(found, np.uint8)
    pixels = jpeg.without_metadata(data, header)
    return raster.by_pillow(JpegImagePlugin.JpegImageFile, pixels, info)[0].samples


def _may_have_run_out(samples: UInt8Array) -> bool:
    """Whether the last pixels are the middle gray that a decoder puts where its data ran out."""
    corner = samples[-8:, -8:].astype(np.int16)
    return bool((np.abs(corner - 128) <= 1).all())


def _open_png(source: Source, data: bytes) -> Opened:
    header = png.read(source)

    def load() -> Raster:
        found = _png_raster(data, header)
        try:
            found.profile = png.profile(data, header)
        except ValueError as error:
            found.warnings.append(f"The colour profile was left out: {error}.")
        found.warnings += _first_of(header.info.frames or 1)
        return found

    return header.info, load


def _png_raster(data: bytes, header: png.Png) -> Raster:
    """By OpenCV: Pillow cuts 16 bits to 8, and leaves black what the data does not reach."""
    found = raster.by_opencv(png.pixels_only(data, header), cv2.IMREAD_UNCHANGED)
    if found is None or found.shape[0] * found.shape[1] != header.info.pixels:
        raise ImageInvalid("The PNG is damaged or cut short.")
    alpha: UInt8Array | None = None
    transparent = png.transparent_colour(data, header)
    if found.ndim == 3 and found.shape[2] == 4:
        alpha = colour.to_eight_bits(found[..., 3])
    elif transparent is not None:
        key = np.array(transparent[::-1], found.dtype)
        shown = (found.reshape(*found.shape[:2], -1) != key).any(axis=2)
        alpha = shown.astype(np.uint8) * np.uint8(255)
    return Raster(colour.to_eight_bits(found if found.ndim == 2 else found[..., 2::-1]), alpha)


def _open_webp(source: Source, data: bytes) -> Opened:
    info = containers.read_webp(source)

    def load() -> Raster:
        found, image = raster.by_pillow(WebPImagePlugin.WebPImageFile, data, info)
        found.profile = image.info.get("icc_profile")
        found.warnings += _first_of(info.frames or 1)
        return found

    return info, load


def _open_avif(source: Source, data: bytes) -> Opened:
    header = avif.read(source)

    def load() -> Raster:
        pixels = avif.without_metadata(data, header)
        found, image = raster.by_pillow(AvifImagePlugin.AvifImageFile, pixels, header.info)
        found.profile = image.info.get("icc_profile")
        found.warnings += _first_of(getattr(image, "n_frames", 1))
        return found

    return header.info, load


def _open_tiff(source: Source, data: bytes) -> Opened:
    header = tiff.read(source)

    def load() -> Raster:
        pixels = tiff.pixels_only(data, header)
        found, _ = raster.by_pillow(TiffImagePlugin.TiffImageFile, pixels, header.info)
        if header.info.bits in {12, 16} and header.photometric == tiff.WHITE_IS_ZERO:
            # Pillow turns these round only where they have 8 bits or fewer.
            found.samples = np.invert(found.samples)
        if header.photometric != tiff.LAB:
            found.profile = tiff.profile(data, header)
        found.warnings += _first_of(header.info.frames or 1)
        return found

    return header.info, load


def _open_bmp(source: Source, data: bytes) -> Opened:
    info = containers.read_bmp(source)

    def load() -> Raster:
        containers.require_bmp_runs(source)
        return raster.by_pillow(BmpImagePlugin.BmpImageFile, data, info)[0]

    return info, load


def _open_gif(source: Source, data: bytes) -> Opened:
    header = containers.read_gif(source)

    def load() -> Raster:
        found, _ = raster.by_pillow(GifImagePlugin.GifImageFile, data, header.info)
        found.alpha = _only_inside(found, header.box)
        found.warnings += _first_of(header.info.frames or 1)
        return found

    return header.info, load


def _only_inside(found: Raster, box: tuple[int, int, int, int]) -> UInt8Array | None:
    """The alpha of a frame that may leave some of its screen empty."""
    height, width = found.samples.shape[:2]
    if box == (0, 0, width, height):
        return found.alpha
    left, top, right, bottom = box
    alpha = np.zeros((height, width), np.uint8)
    inside = (slice(top, bottom), slice(left, right))
    alpha[inside] = 255 if found.alpha is None else found.alpha[inside]
    return alpha


_OPENERS: dict[Format, Callable[[Source, bytes], Opened]] = {
    "jpeg": _open_jpeg,
    "png": _open_png,
    "webp": _open_webp,
    "avif": _open_avif,
    "tiff": _open_tiff,
    "bmp": _open_bmp,
    "gif": _open_gif,
}
