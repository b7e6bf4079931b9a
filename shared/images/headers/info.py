"""Format and size of an image, and the memory that decoding it needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Format = Literal["jpeg", "png", "webp", "avif", "tiff", "bmp", "gif"]

MAX_PIXELS = 100_000_000
#: Strips, tables and threads.
_OVERHEAD = 48 << 20


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """An image, as its header describes it.

    Attributes:
        format: the format by content, whatever the file's name.
        width: pixels as displayed, after the orientation is applied.
        height: pixels as displayed.
        orientation: EXIF orientation, 1–8. None where a partial file ends before it: width and
            height are then as stored, and may have to be swapped.
        frames: number of pictures in the file; None where only reading all of it would tell.
        bits: per sample, as stored.
        channels: samples per pixel as stored, including alpha; 1 for a palette.
        progressive: a JPEG whose coefficients a decoder holds all at once.
    """

    format: Format
    width: int
    height: int
    orientation: int | None = 1
    frames: int | None = 1
    bits: int = 8
    channels: int = 3
    progressive: bool = False

    @property
    def pixels(self) -> int:
        return self.width * self.height

    @property
    def content_type(self) -> str:
        return f"image/{self.format}"

    @classmethod
    def stored(
        cls,
        image_format: Format,
        size: tuple[int, int],
        orientation: int | None = 1,
        *,
        frames: int | None = 1,
        bits: int = 8,
        channels: int = 3,
        progressive: bool = False,
    ) -> ImageInfo:
        """An image of this stored (width, height), swapped if the orientation turns it."""
        width, height = reversed(size) if orientation in {5, 6, 7, 8} else size
        return cls(
            image_format,
            width,
            height,
            orientation,
            frames=frames,
            bits=bits,
            channels=channels,
            progressive=progressive,
        )


def memory_bound(info: ImageInfo) -> int:
    """The most bytes that decoding the image needs at once, by its header.

    Included are the decoder's buffers (a progressive JPEG's coefficients, WebP's two canvases,
    AVIF's planes, a TIFF's largest strip), Pillow's four bytes per pixel, and the arrays made from
    them. Not included are the file itself and up to two copies of it.
    tests/unit/test_images_damage.py measures 50 to 90% of this bound.
    """
    stored = info.channels * -(-info.bits // 8)
    per_pixel = {
        "jpeg": max(8, 3 * info.channels + 2) + (2 * info.channels if info.progressive else 0),
        "png": 12 if info.bits <= 8 else 6 + 2 * stored,
        "webp": 20,
        "avif": 20 if info.bits <= 8 else 28,
        "tiff": 12 + stored,
        "bmp": 10,
        "gif": 10,
    }
    return info.pixels * per_pixel[info.format] + _OVERHEAD
