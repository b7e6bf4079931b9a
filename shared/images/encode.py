"""Arrays to files: the same bytes for the same pixels, and nothing beside the pixels."""

from __future__ import annotations

import io

import cv2
import numpy as np
from PIL import Image

from shared.errors import ImageTooLarge
from shared.images import png_writer
from shared.images.photo import UInt8Array
from shared.spec import OutputFormat

#: The longest side each format reaches: libjpeg stops short of JPEG's own 65,535, and PNG's
#: 2³¹ − 1 is beyond any image here.
_LONGEST = {OutputFormat.JPEG: 65_500, OutputFormat.WEBP: 16_383}

# tests/bench/codecs.py has the figures behind the choices here.
# No chroma subsampling: it bleeds colour over the cut's edge.
_JPEG = [cv2.IMWRITE_JPEG_QUALITY, 92]
_JPEG += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]


def encode(image: UInt8Array, format: OutputFormat) -> bytes:  # noqa: A002 - the word for it
    """The file of an (H, W) gray, (H, W, 3) RGB or (H, W, 4) RGBA image with straight alpha.

    PNG is lossless, and so is WebP for gray, which is what masks are; WebP's alpha is lossless
    always. What alpha hides whole may lose its colour in WebP. The file carries no metadata; its
    colours are sRGB.

    Raises:
        ImageTooLarge: a side is longer than the format reaches.
        ValueError: an array of another shape or type, or alpha for JPEG.
    """
    _check(image, format)
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[..., 0]
    if format is OutputFormat.PNG:
        return png_writer.write(image)
    if format is OutputFormat.JPEG:
        return _jpeg(image)
    return _webp(image)


def _check(image: UInt8Array, image_format: OutputFormat) -> None:
    channels = image.shape[2] if image.ndim == 3 else 1
    if image.dtype != np.uint8 or image.ndim not in {2, 3} or channels not in {1, 3, 4}:
        raise ValueError(f"cannot encode {image.dtype} of shape {image.shape}")
    if not image.size:
        raise ValueError("cannot encode an image without pixels")
    if channels == 4 and image_format is OutputFormat.JPEG:
        raise ValueError("JPEG has no alpha: put the image on a background first")
    longest = _LONGEST.get(image_format)
    if longest is not None and max(image.shape[:2]) > longest:
        height, width = image.shape[:2]
        raise ImageTooLarge(
            f"The result is {width}×{height}; {image_format.value} reaches {longest} a side."
        )


def _jpeg(image: UInt8Array) -> bytes:
    """By OpenCV; other threads run on while it works."""
    if image.ndim == 2:
        ordered = np.ascontiguousarray(image)
    else:
        ordered = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2BGR), np.uint8)
    done, file = cv2.imencode(".jpg", ordered, _JPEG)
    if not done:
        raise ValueError(f"OpenCV could not write a JPEG of shape {image.shape}")
    return file.tobytes()


def _webp(image: UInt8Array) -> bytes:
    """By Pillow, which offers the faster method; it too lets other threads run on."""
    target = io.BytesIO()
    opened = Image.fromarray(np.ascontiguousarray(image))
    if image.ndim == 2:
        opened.save(target, "WEBP", lossless=True, quality=20, method=2)
    else:
        opened.save(target, "WEBP", quality=90, method=2)
    return target.getvalue()
