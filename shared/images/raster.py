"""The pixels of a file as stored: before colour management and before orientation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from shared.arrays import UInt8Array
from shared.errors import ImageError, ImageInvalid, ImageUnsupported
from shared.images import colour
from shared.images.headers import ImageInfo

# Sizes are checked before Pillow sees a file. Pillow's own check is a setting of the whole process,
# and only warns at its first threshold.
Image.MAX_IMAGE_PIXELS = None

_ALPHA_MODES = {"LA", "La", "PA", "RGBA", "RGBa"}
_GRAY_MODES = {"1", "L", "LA", "La"}


@dataclass(slots=True)
class Raster:
    """Stored pixels.

    Attributes:
        samples: (H, W) gray, (H, W, 3) RGB or (H, W, 4) CMYK where 255 is full ink.
        alpha: (H, W), or None.
        profile: the ICC profile of the samples.
        warnings: what was ignored so far.
    """

    samples: UInt8Array
    alpha: UInt8Array | None = None
    profile: bytes | None = None
    warnings: list[str] = field(default_factory=list)


def by_pillow(
    plugin: Callable[[BytesIO], ImageFile.ImageFile], data: bytes, info: ImageInfo
) -> tuple[Raster, ImageFile.ImageFile]:
    """The first picture of a file as Pillow's `plugin` reads it, and the opened file.

    Calls the plugin directly, because `Image.open` would guess the format again.

    Raises:
        ImageInvalid: the pixels are damaged, or not as many as the header says.
        ImageUnsupported: a kind of pixels without a defined colour on a screen.
    """
    with _failing(_VARIANT if info.format in _MANY_VARIANTS else _DAMAGE):
        image = plugin(BytesIO(data))
    if image.width * image.height != info.pixels:
        raise ImageInvalid("The file's headers contradict each other.")
    with _failing(_DAMAGE):
        image.load()
        return _raster(image, (1 << info.bits) - 1), image


_DAMAGE = ImageInvalid("The image is damaged or cut short.")
_VARIANT = ImageUnsupported("This variant of the format is not supported.")
#: Formats with sound headers for pixels that Pillow does not read.
_MANY_VARIANTS = {"tiff", "bmp"}


@contextmanager
def _failing(failure: ImageError) -> Iterator[None]:
    """Raise this failure for whatever a decoder raises: on damaged bytes that may be anything."""
    try:
        yield
    except (ImageError, MemoryError):
        raise
    except Exception as error:
        raise type(failure)(failure.message) from error


def _raster(image: ImageFile.ImageFile, full: int) -> Raster:
    """The pixels of a loaded image whose 16-bit samples reach `full`."""
    mode = image.mode
    if mode.startswith("I;16"):
        return Raster(colour.to_eight_bits(np.asarray(image), full))
    if mode in {"I", "F"}:
        raise ImageUnsupported("An image of 32 bits per sample is not supported.")
    if mode == "CMYK":
        return Raster(*_samples(image, "CMYK", 4))
    gray = mode in _GRAY_MODES
    if mode in _ALPHA_MODES or image.has_transparency_data:
        return Raster(*_samples(image, "LA" if gray else "RGBA", 1 if gray else 3))
    return Raster(*_samples(image, "L" if gray else "RGB", 1 if gray else 3))


def _samples(image: Image.Image, mode: str, colours: int) -> tuple[UInt8Array, UInt8Array | None]:
    """The pixels in `mode`: (H, W) or (H, W, `colours`) samples, and (H, W) alpha or None.

    Converts strip by strip, because Pillow's own conversion to an array holds three copies.
    """
    size = (image.height, image.width)
    samples = np.empty(size if colours == 1 else (*size, colours), np.uint8)
    alpha = np.empty(size, np.uint8) if mode in _ALPHA_MODES else None
    for part in colour.rows(*size):
        strip = np.asarray(_as_mode(image.crop((0, part.start, image.width, part.stop)), mode))
        if alpha is not None:
            alpha[part] = strip[..., -1]
            strip = strip[..., 0] if colours == 1 else strip[..., :-1]
        samples[part] = strip
    return samples, alpha


def _as_mode(strip: Image.Image, mode: str) -> Image.Image:
    if strip.mode == "LAB":
        return colour.lab_to_srgb(strip)
    return strip if strip.mode == mode else strip.convert(mode)


def by_opencv(data: bytes, flags: int) -> NDArray[Any] | None:
    """Pixels by OpenCV, orientation ignored; None where it cannot. Releases the GIL."""
    try:
        found = cv2.imdecode(np.frombuffer(data, np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        return None
    return None if found is None else np.asarray(found)


def upright(samples: UInt8Array, orientation: int) -> UInt8Array:
    """Samples as displayed, by their EXIF orientation."""
    match orientation:
        case 2:
            turned = cv2.flip(samples, 1)
        case 3:
            turned = cv2.rotate(samples, cv2.ROTATE_180)
        case 4:
            turned = cv2.flip(samples, 0)
        case 5:
            turned = cv2.transpose(samples)
        case 6:
            turned = cv2.rotate(samples, cv2.ROTATE_90_CLOCKWISE)
        case 7:
            turned = cv2.rotate(cv2.transpose(samples), cv2.ROTATE_180)
        case 8:
            turned = cv2.rotate(samples, cv2.ROTATE_90_COUNTERCLOCKWISE)
        case _:
            return samples
    return np.asarray(turned, np.uint8)
