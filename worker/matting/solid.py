"""Where a mask or an alpha counts as the subject: its solid part, and the box around that."""

from __future__ import annotations

import cv2
import numpy as np

from shared.arrays import BoolArray, FloatArray, UInt8Array

#: `[x1, y1, x2, y2]` in whole pixels; x2 and y2 are one past the last pixel.
Box = tuple[int, int, int, int]

#: A soft mask's pixel is the subject's above this value of 0..1.
HALF = 0.5
#: An alpha's pixel is the subject's above this level of 0..255.
MIDDLE = 127


def solid_mask(mask: FloatArray) -> BoolArray:
    """(h, w) bool: where a soft (h, w) float32 mask in 0..1 is the subject."""
    solid: BoolArray = mask > HALF
    return solid


def solid_alpha(alpha: UInt8Array) -> UInt8Array:
    """(H, W) uint8: 1 where an (H, W) uint8 alpha is more opaque than not, else 0."""
    solid = cv2.threshold(alpha, MIDDLE, 1, cv2.THRESH_BINARY)[1]
    return np.asarray(solid, np.uint8).reshape(alpha.shape)


def box_of(solid: UInt8Array) -> Box | None:
    """The box around the pixels of an (h, w) uint8 array that are not 0; None without any."""
    x, y, width, height = cv2.boundingRect(solid)
    return (x, y, x + width, y + height) if width else None
