"""The shadow of a subject on the ground that it stands on."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.arrays import FloatArray, UInt8Array
from shared.schema import Shadow
from worker.matting.solid import Box

#: Longest side at which a shadow is drawn: it is soft, so a larger one shows no more detail.
_DRAWN = 800
#: Heights, as shares of the subject's, between which it is cut into slices. Under a broad light a
#: slice's shadow is the softer the higher the slice: by its height in the reach asked for.
_HEIGHTS = (0.0, 0.02, 0.06, 0.14, 0.3, 0.6)
#: The ground is seen from 25° above, which shows this share of its depth.
_FORESHORTENED = 0.4
#: What stands on the ground is rounded below: its shadow has this share of the reach at least.
_CONTACT = 0.4
#: A Gaussian is cut off here, in standard deviations.
_SUPPORT = 3.0


def cast(alpha: UInt8Array, box: Box, shadow: Shadow) -> UInt8Array:
    """How dark the shadow is, (h, w) uint8, of a subject whose canvas alpha is (h, w) uint8.

    It lies around the lower edge of the subject's box and is nowhere cut off: its reach is what is
    asked for or, if that is less, the room between the box and the canvas's sides and bottom.
    """
    height, width = alpha.shape
    shrink = min(1.0, _DRAWN / max(height, width))
    size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
    small = np.asarray(cv2.resize(alpha, size, interpolation=cv2.INTER_AREA), np.float32)
    small /= np.float32(255)
    left, top, right, bottom = (round(side * shrink) for side in box)
    longest = max(right - left, bottom - top)
    shift = shadow.offset * longest
    # Pixels of room, less one that stays empty for certain.
    across = min(left + min(shift, 0), size[0] - right - max(shift, 0)) - 1
    below = size[1] - bottom - 1
    reach = min(shadow.softness * longest, across, below / _FORESHORTENED)
    if reach < 1 or below < 2:
        return np.zeros_like(alpha)
    ground = _ground(small, (top, bottom), reach)
    moved = np.array([[1, 0, shift], [0, 1, 0]], np.float64)
    ground = np.asarray(cv2.warpAffine(ground, moved, size), np.float32)
    drawn = np.rint(ground * (255 * shadow.opacity)).astype(np.uint8)
    return np.asarray(cv2.resize(drawn, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def _ground(alpha: FloatArray, rows: tuple[int, int], reach: float) -> FloatArray:
    """(h, w) in 0..1: how much light each point of the ground misses.

    Args:
        alpha: (h, w) in 0..1.
        rows: the subject's first, and the one after its last, where the ground is.
        reach: how far the softest slice's shadow goes, in pixels.
    """
    top, bottom = rows
    lit = np.ones_like(alpha)
    for low, high in itertools.pairwise(_HEIGHTS):
        begin = max(top, round(bottom - high * (bottom - top)))
        end = max(begin + 1, round(bottom - low * (bottom - top)))
        outline = alpha[begin:end].max(axis=0)
        softness = _CONTACT + (1 - _CONTACT) * high / _HEIGHTS[-1]
        spread = reach * softness / _SUPPORT
        depth = _profile(len(alpha), bottom, spread * _FORESHORTENED)
        # A slice that hangs higher covers less of the sky.
        lit *= 1 - np.outer(depth, _blurred(outline, spread)) * (1 - high)
    return np.asarray(1 - lit, np.float32)


def _profile(length: int, at: int, spread: float) -> FloatArray:
    """(length,): 1 at `at`, falling off as a Gaussian on both sides, and 0 beyond its support."""
    distance = np.abs(np.arange(length) + 0.5 - at) / max(spread, 0.5)
    return np.where(distance < _SUPPORT, np.exp(-0.5 * distance**2), 0).astype(np.float32)


def _blurred(outline: NDArray[np.float32], spread: float) -> FloatArray:
    """(w,): the outline, blurred; it reaches no further than the Gaussian's support."""
    side = 2 * int(_SUPPORT * spread) + 1
    blurred = cv2.GaussianBlur(
        outline[None], (side, 1), max(spread, 0.1), borderType=cv2.BORDER_CONSTANT
    )
    return np.asarray(blurred, np.float32).ravel()
