"""Arrays to files: the same bytes for the same pixels, and nothing beside the pixels."""

from __future__ import annotations

import io

import cv2
import numpy as np
from PIL import Image

from shared.errors import ImageTooLarge
from shared.images.photo import UInt8Array
from shared.spec import OutputFormat

#: The longest side each format reaches: libjpeg stops short of JPEG's own 65,535, and PNG's
#: 2³¹ − 1 is beyond any image here.
_LONGEST = {OutputFormat.JPEG: 65_500, OutputFormat.WEBP: 16_383}

# tests/bench/codecs.py has the figures behind these. To choose a filter a row is half of libpng's
# time and gains 5%; a mask is smallest as runs of its own values. Before 4.12 OpenCV gives no
# choice of filter.
_CAN_FILTER = hasattr(cv2, "IMWRITE_PNG_FILTER")
_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 1]
_PNG_COLOURS = [*_PNG, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_DEFAULT]
_PNG_COLOURS += [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_SUB] if _CAN_FILTER else []
_PNG_MASK = [*_PNG, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
_PNG_MASK += [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_NONE] if _CAN_FILTER else []

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
        return _by_opencv(".png", image, _PNG_MASK if image.ndim == 2 else _PNG_COLOURS)
    if format is OutputFormat.JPEG:
        return _by_opencv(".jpg", image, _JPEG)
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


def _by_opencv(suffix: str, image: UInt8Array, settings: list[int]) -> bytes:
    """Other threads run on while OpenCV works."""
    if image.ndim == 2:
        ordered = np.ascontiguousarray(image)
    else:
        code = cv2.COLOR_RGB2BGR if image.shape[2] == 3 else cv2.COLOR_RGBA2BGRA
        ordered = np.asarray(cv2.cvtColor(image, code), np.uint8)
    done, file = cv2.imencode(suffix, ordered, settings)
    if not done:
        raise ValueError(f"OpenCV could not write {suffix} of shape {image.shape}")
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
