"""How much of the in-flight limit a job takes: its memory, in pixels of `BYTES_PER_PIXEL` each."""

from __future__ import annotations

from dataclasses import dataclass

from shared.schema.canvas import Backdrop
from shared.schema.extent import Size, follows_box, most_pixels
from shared.schema.output import Output, OutputFormat, OutputType

#: The memory that the in-flight limit counts for one pixel. Decoding takes as much at most, and so
#: does drawing a cutout that is not scaled.
BYTES_PER_PIXEL = 24

#: From this many pixels on, an AVIF is encoded faster and with fewer colour samples: otherwise one
#: of 100 megapixels would take 5 GB and three minutes.
LARGE_AVIF = 1 << 26

# Bytes per pixel at the peak, at most: measured on noise by `python -m tests.bench.memory`.
#: Encoding, by format and channels, with the finished file, beside the pixels themselves.
_ENCODING = {
    OutputFormat.PNG: {1: 3, 3: 8, 4: 10},
    OutputFormat.JPEG: {1: 3, 3: 8},
    OutputFormat.WEBP: {1: 36, 3: 14, 4: 40},
    OutputFormat.AVIF: {1: 31, 3: 46, 4: 46},
    OutputFormat.ZIP: {4: 12},
}
_ENCODING_LARGE_AVIF = 33
#: Reading the finished file again to measure it against its preset.
_MEASURING = 24
#: Drawing a scaled cutout: per pixel of the photo, and of the canvas.
_PHOTO_SCALED, _CANVAS_SCALED = 16, 22
#: The photo and its alpha, or the background image, while something else is worked on.
_PHOTO_KEPT, _BACKDROP_KEPT, _ALPHA_KEPT = 5, 4, 1


@dataclass(frozen=True, slots=True)
class Sizes:
    """What a job holds, in pixels.

    Attributes:
        photo: of its photo.
        canvas: of its result; the photo's own where the result is the photo as it is.
        backdrop: of its background image; 0 without one.
    """

    photo: int
    canvas: int
    backdrop: int = 0

    @classmethod
    def of(cls, output: Output, photo: Size | None, *, max_pixels: int, backdrop: int = 0) -> Sizes:
        """The largest that a job can hold; `photo` is its (width, height), None if not known."""
        known = max_pixels if photo is None else photo[0] * photo[1]
        return cls(known, most_pixels(output, photo, max_pixels), backdrop)


def weight(output: Output, sizes: Sizes) -> int:
    """The pixels that a job counts for: its peak memory over `BYTES_PER_PIXEL`, rounded up.

    For a PNG or JPEG that is not scaled, that is the larger of the photo and the canvas.
    """
    peak = max(
        BYTES_PER_PIXEL * sizes.photo,
        _PHOTO_KEPT * sizes.photo + BYTES_PER_PIXEL * sizes.backdrop,
        _drawing(output, sizes),
        _ALPHA_KEPT * sizes.photo + _writing(output, sizes.canvas) * sizes.canvas,
    )
    return -(-peak // BYTES_PER_PIXEL)


def _drawing(output: Output, sizes: Sizes) -> int:
    kept = _BACKDROP_KEPT * sizes.backdrop
    if follows_box(output):  # the photo's own pixels, with free space around them or without
        return BYTES_PER_PIXEL * max(sizes.photo, sizes.canvas) + kept
    return _PHOTO_SCALED * sizes.photo + _CANVAS_SCALED * sizes.canvas + kept


def _writing(output: Output, canvas: int) -> int:
    """Bytes per pixel of the canvas while the file is written and measured."""
    channels = _channels(output)
    encoding = _ENCODING[output.format][channels]
    if output.format is OutputFormat.AVIF and canvas > LARGE_AVIF:
        encoding = min(encoding, _ENCODING_LARGE_AVIF)
    if output.preset is not None:
        encoding = max(encoding, _MEASURING) + _ALPHA_KEPT
    return channels + encoding


def _channels(output: Output) -> int:
    if output.type is OutputType.MASK:
        return 1
    opaque = isinstance(output.background, Backdrop) or output.background != "transparent"
    return 3 if opaque and output.format is not OutputFormat.ZIP else 4
