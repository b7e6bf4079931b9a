"""Resizes planes of numbers."""

from __future__ import annotations

import cv2
import numpy as np

from shared.arrays import FloatArray


def smaller(plane: FloatArray, height: int, width: int) -> FloatArray:
    """(h, w) float32 to (height, width), each pixel the mean of those that it covers."""
    return _resized(plane, height, width, cv2.INTER_AREA)


def larger(plane: FloatArray, height: int, width: int) -> FloatArray:
    """(h, w) float32 to (height, width), bilinearly."""
    return _resized(plane, height, width, cv2.INTER_LINEAR)


def _resized(plane: FloatArray, height: int, width: int, how: int) -> FloatArray:
    resized = cv2.resize(plane, (width, height), interpolation=how)
    return np.asarray(resized, np.float32).reshape(height, width)
