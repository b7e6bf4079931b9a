"""A decoded image."""

from __future__ import annotations

from dataclasses import dataclass

from shared.arrays import UInt8Array


@dataclass(frozen=True, slots=True)
class Photo:
    """A decoded image, as displayed.

    Attributes:
        rgb: (H, W, 3) uint8, sRGB, EXIF orientation applied.
        alpha: (H, W) uint8 where the file had transparency, else None.
        warnings: parts of the file that were ignored, for the job's `warnings`.
    """

    rgb: UInt8Array
    alpha: UInt8Array | None = None
    warnings: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        return int(self.rgb.shape[1])

    @property
    def height(self) -> int:
        return int(self.rgb.shape[0])
