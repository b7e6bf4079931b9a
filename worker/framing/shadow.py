"""Draws the shadow of a subject on the ground it stands on."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.arrays import FloatArray, UInt8Array
from shared.schema import Shadow
from worker.matting.solid import Box

#: Longest side at which a shadow is drawn, in pixels; it is soft, so more would add no detail.
_DRAWN = 800
#: Bounds of the slices into which the subject is cut, as shares of its height. Under a broad light,
#: higher slices cast softer shadows: softness grows with height up to the requested reach.
_HEIGHTS = (0.0, 0.02, 0.06, 0.14, 0.3, 0.6)
#: Visible share of the depth of the ground when seen from 25° above.
_FORESHORTENED = 0.4
#: Least share of the reach that a shadow has, because objects are rounded where they stand.
_CONTACT = 0.4
#: Where Gaussians are cut off, in standard deviations.
_SUPPORT = 3.0


def cast(alpha: UInt8Array, box: Box, shadow: Shadow) -> UInt8Array:
    """The darkness of the shadow, (h, w) uint8, for a subject with canvas alpha (h, w) uint8.

    The shadow lies around the lower edge of the subject's box and is never cut off: its reach is
    the one requested or, if less, the room from the box to the sides and bottom of the canvas.
    """
    height, width = alpha.shape
    shrink = min(1.0, _DRAWN / max(height, width))
    size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
    small = np.asarray(cv2.resize(alpha, size, interpolation=cv2.INTER_AREA), np.float32)
    small /= np.float32(255)
    left, top, right, bottom = (round(side * shrink) for side in box)
    longest = max(right - left, bottom - top)
    shift = shadow.offset * longest
    # Pixels of room, less one so that the outermost pixel certainly stays empty.
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
    """How much light each point of the ground loses, (h, w) float32 in 0..1.

    Args:
        alpha: (h, w) in 0..1.
        rows: the first row of the subject and the row after its last, where the ground is.
        reach: how far the shadow of the softest slice extends, in pixels.
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
        # Higher slices hide less of the sky from the ground.
        lit *= 1 - np.outer(depth, _blurred(outline, spread)) * (1 - high)
    return np.asarray(1 - lit, np.float32)


def _profile(length: int, at: int, spread: float) -> FloatArray:
    """A Gaussian around `at`, (length,) float32: 1 at its centre and 0 beyond its support."""
    distance = np.abs(np.arange(length) + 0.5 - at) / max(spread, 0.5)
    return np.where(distance < _SUPPORT, np.exp(-0.5 * distance**2), 0).astype(np.float32)


def _blurred(outline: NDArray[np.float32], spread: float) -> FloatArray:
    """The outline, (w,) float32, blurred no further than the support of the Gaussian."""
    side = 2 * int(_SUPPORT * spread) + 1
    blurred = cv2.GaussianBlur(
        outline[None], (side, 1), max(spread, 0.1), borderType=cv2.BORDER_CONSTANT
    )
    return np.asarray(blurred, np.float32).ravel()
