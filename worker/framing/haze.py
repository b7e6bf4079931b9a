"""Removes faint alpha far from the subject."""

from __future__ import annotations

import cv2
import numpy as np

from shared.arrays import UInt8Array

#: Least alpha that counts as the subject; fainter pixels are hardly visible on any screen.
SEEN = 13
#: The background begins this far from the subject, in pixels along either axis.
CLEARANCE = 16
#: Side of a JPEG block, in pixels; each pixel affects all others in its block.
_BLOCK = 8


def near(alpha: UInt8Array, reach: int) -> UInt8Array:
    """Mask, (h, w) uint8: 255 within `reach` pixels of the visible subject on each axis, else 0."""
    subject = cv2.threshold(alpha, SEEN - 1, 255, cv2.THRESH_BINARY)[1]
    side = 2 * reach + 1
    across = cv2.dilate(subject, np.ones((1, side), np.uint8))
    return np.asarray(cv2.dilate(across, np.ones((side, 1), np.uint8)), np.uint8)


def without_haze(alpha: UInt8Array) -> UInt8Array:
    """Set (h, w) uint8 alpha to 0 away from the subject.

    It starts one JPEG block nearer than `CLEARANCE`, so that beyond `CLEARANCE` a JPEG is clean.
    """
    return np.asarray(cv2.bitwise_and(alpha, near(alpha, CLEARANCE - _BLOCK)), np.uint8)
