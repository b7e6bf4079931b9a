"""Pixels to files: the same bytes for the same pixels, and no metadata but the EXIF given."""

from __future__ import annotations

import io
import struct
import zipfile

import cv2
import numpy as np
from PIL import Image

from shared.arrays import UInt8Array
from shared.errors import ImageTooLarge
from shared.images import png_writer
from shared.schema import OutputFormat
from shared.schema.weight import LARGE_AVIF

# tests/bench/codecs.py has the figures behind the choices here.
# No chroma subsampling: it spreads colour over the edge of the cutout.
_JPEG = [cv2.IMWRITE_JPEG_QUALITY, 92]
_JPEG += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]


def encode(
    image: UInt8Array,
    format: OutputFormat,  # noqa: A002 - the word for it
    exif: bytes = b"",
) -> bytes:
    """The file of an (H, W) gray, (H, W, 3) RGB or (H, W, 4) RGBA image with straight alpha.

    PNG is lossless, and so is WebP for gray (masks are gray). Alpha is lossless in WebP and nearly
    so in AVIF. Fully transparent pixels may lose their colour in WebP and AVIF. A ZIP holds an RGBA
    image's `colour.png`, with the colours of transparent pixels, and its `alpha.png`. Colours are
    sRGB; no profile is written, because readers assume sRGB without one.

    Args:
        image: the pixels.
        format: the file format.
        exif: a TIFF-shaped EXIF block to include, none if empty; a ZIP includes none.

    Raises:
        ImageTooLarge: a side is longer than the format allows.
        ValueError: an array of another shape or type, alpha for JPEG, or none for a ZIP.
    """
    _check(image, format)
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[..., 0]
    match format:
        case OutputFormat.PNG:
            return png_writer.write(image, exif)
        case OutputFormat.JPEG:
            return _with_exif(_jpeg(image), exif)
        case OutputFormat.WEBP:
            return _webp(image, exif)
        case OutputFormat.AVIF:
            return _avif(image, exif)
        case OutputFormat.ZIP:
            return _zip(image)


def _check(image: UInt8Array, image_format: OutputFormat) -> None:
    channels = image.shape[2] if image.ndim == 3 else 1
    if image.dtype != np.uint8 or image.ndim not in {2, 3} or channels not in {1, 3, 4}:
        raise ValueError(f"cannot encode {image.dtype} of shape {image.shape}")
    if not image.size:
        raise ValueError("cannot encode an image without pixels")
    if channels == 4 and image_format is OutputFormat.JPEG:
        raise ValueError("JPEG has no alpha: put the image on a background first")
    if channels != 4 and image_format is OutputFormat.ZIP:
        raise ValueError("a ZIP needs an image with alpha")
    longest = image_format.longest_side
    if max(image.shape[:2]) > longest:
        height, width = image.shape[:2]
        raise ImageTooLarge(
            f"The result is {width}×{height}; {image_format.value} allows {longest} per side."
        )


def _jpeg(image: UInt8Array) -> bytes:
    """A JPEG by OpenCV, which releases the GIL."""
    if image.ndim == 2:
        ordered = np.ascontiguousarray(image)
    else:
        ordered = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2BGR), np.uint8)
    done, file = cv2.imencode(".jpg", ordered, _JPEG)
    if not done:
        raise ValueError(f"OpenCV could not write a JPEG of shape {image.shape}")
    return file.tobytes()


def _with_exif(file: bytes, exif: bytes) -> bytes:
    """A JPEG with the EXIF block as its first segment, as the standard requires."""
    if not exif:
        return file
    segment = b"Exif\0\0" + exif
    return file[:2] + struct.pack(">HH", 0xFFE1, len(segment) + 2) + segment + file[2:]


def _webp(image: UInt8Array, exif: bytes) -> bytes:
    """A WebP by Pillow, which offers the faster method and releases the GIL too."""
    target = io.BytesIO()
    opened = Image.fromarray(np.ascontiguousarray(image))
    if image.ndim == 2:
        opened.save(target, "WEBP", lossless=True, quality=20, method=2, exif=exif)
    else:
        opened.save(target, "WEBP", quality=90, method=2, exif=exif)
    return target.getvalue()


def _avif(image: UInt8Array, exif: bytes) -> bytes:
    """An AVIF by Pillow, on one thread: a job has one core.

    A large one has a quarter of the colour samples and 4% more bytes, in two thirds of the memory
    and a third of the time.
    """
    target = io.BytesIO()
    opened = Image.fromarray(np.ascontiguousarray(image))
    quality = 100 if image.ndim == 2 else 80
    large = image.shape[0] * image.shape[1] > LARGE_AVIF
    subsampling, speed = ("4:2:0", 9) if large else ("4:4:4", 8)
    opened.save(
        target,
        "AVIF",
        quality=quality,
        subsampling=subsampling,
        speed=speed,
        max_threads=1,
        exif=exif,
    )
    return target.getvalue()


def _zip(image: UInt8Array) -> bytes:
    """A ZIP, stored because PNG is deflated; dated 1980 so that equal pixels give equal files."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name, part in (("colour.png", image[..., :3]), ("alpha.png", image[..., 3])):
            archive.writestr(zipfile.ZipInfo(name), png_writer.write(np.ascontiguousarray(part)))
    return target.getvalue()
