"""Removes faint alpha far from the subject."""

from __future__ import annotations

import cv2
import numpy as np

from shared.arrays import UInt8Array

#: Alpha from which a pixel counts as the subject; fainter ones are hardly visible on any screen.
SEEN = 13
#: The background begins this far from the subject, in pixels along either axis.
CLEARANCE = 16
#: The side of a JPEG block; a pixel affects all others in its block.
_BLOCK = 8


def near(alpha: UInt8Array, reach: int) -> UInt8Array:
    """(h, w) uint8, 255 within `reach` pixels of where the subject is seen, else 0."""
    subject = cv2.threshold(alpha, SEEN - 1, 255, cv2.THRESH_BINARY)[1]
    side = 2 * reach + 1
    across = cv2.dilate(subject, np.ones((1, side), np.uint8))
    return np.asarray(cv2.dilate(across, np.ones((side, 1), np.uint8)), np.uint8)


def without_haze(alpha: UInt8Array) -> UInt8Array:
    """An (h, w) uint8 alpha that is 0 so far from the subject that a JPEG leaves `CLEARANCE`."""
    return np.asarray(cv2.bitwise_and(alpha, near(alpha, CLEARANCE - _BLOCK)), np.uint8)
