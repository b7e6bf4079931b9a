"""A cut as the file asked for, and what that file measures."""

from __future__ import annotations

from dataclasses import dataclass

from shared.arrays import UInt8Array
from shared.images.decode import decode
from shared.images.encode import encode
from shared.images.exif import kept
from shared.images.photo import Photo
from shared.job import Compliance
from shared.schema import Output
from worker.framing.compliance import report
from worker.framing.layout import Box
from worker.framing.picture import draw


@dataclass(frozen=True, slots=True)
class Trimmings:
    """What a picture takes beside the cut.

    Attributes:
        backdrop: the image behind the subject.
        exif: to be carried over from the photo's file.
        warnings: what of it could not be read.
    """

    backdrop: Photo | None = None
    exif: bytes = b""
    warnings: tuple[str, ...] = ()

    @classmethod
    def read(
        cls, output: Output, photo: bytes, backdrop: bytes | None, max_pixels: int
    ) -> Trimmings:
        """From the photo's file, and the backdrop's where `output` names one.

        Raises:
            ImageError: the backdrop cannot be read.
        """
        behind = None if backdrop is None else decode(backdrop, max_pixels=max_pixels)
        if not output.keep_metadata:
            return cls(behind)
        try:
            return cls(behind, kept(photo))
        except ValueError as error:
            return cls(behind, warnings=(f"The metadata was left out: {error}.",))


@dataclass(frozen=True, slots=True)
class Publication:
    """A finished file.

    Attributes:
        file: the bytes.
        size: its picture's (width, height).
        compliance: where a preset was asked for.
        warnings: what could not be as it was asked.
    """

    file: bytes
    size: tuple[int, int]
    compliance: Compliance | None
    warnings: tuple[str, ...]


def publish(
    rgb: UInt8Array, alpha: UInt8Array, output: Output, subject: Box, trimmings: Trimmings
) -> Publication:
    """The file that `output` asks for.

    Args:
        rgb: (H, W, 3) uint8, the photo.
        alpha: (H, W) uint8.
        output: what to make.
        subject: its box in the photo.
        trimmings: what it takes beside.

    Raises:
        ImageTooLarge: as `draw` and `encode`.
    """
    picture = draw(rgb, alpha, output, subject, trimmings.backdrop)
    file = encode(picture.pixels, output.format, trimmings.exif)
    compliance = None
    if output.preset is not None:
        limited = picture.layout.shortfall > 1
        compliance = report(file, picture.alpha, output.preset, limited=limited)
    warnings = trimmings.warnings + picture.warnings
    return Publication(file, picture.layout.canvas, compliance, warnings)
