"""Refines a coarse mask to an alpha at the photo's size that follows the photo's edges."""

from __future__ import annotations

import cv2
import numpy as np

from shared.arrays import FloatArray, UInt8Array
from shared.schema import Edge
from worker.matting import outline
from worker.matting.alignment import aligned, haze_of, known
from worker.matting.guided import guide_of
from worker.matting.matte import matte
from worker.matting.planes import smaller
from worker.matting.solid import MIDDLE

#: The longer side that masks are worked on at, SAM's own: all constants are in such pixels.
_MASK_SIDE = 256


def refine(mask: FloatArray, rgb: UInt8Array, edge: Edge) -> UInt8Array:
    """The (H, W) uint8 alpha of a mask.

    Args:
        mask: (h, w) float32 in 0..1, soft, because thresholding loses where the edge lies.
        rgb: (H, W, 3) uint8, the photo.
        edge: which edges.
    """
    small = _reduced(np.asarray(mask, dtype=np.float32))
    match edge:
        case Edge.HARD:
            return hard(small, rgb)
        case Edge.SOFT:
            return soft(small, rgb)
        case Edge.MATTE:
            return matte(small, rgb)


def hard(mask: FloatArray, rgb: UInt8Array) -> UInt8Array:
    """The alpha of `soft`, thresholded at its middle: 0 and 255 only."""
    alpha = cv2.threshold(soft(mask, rgb), MIDDLE, 255, cv2.THRESH_BINARY)[1]
    return np.asarray(alpha, np.uint8).reshape(rgb.shape[:2])


def soft(mask: FloatArray, rgb: UInt8Array) -> UInt8Array:
    """The alpha of one guided filter, with a wider window for a more doubtful mask."""
    height, width = mask.shape
    doubt = outline.read(mask).doubt
    local = aligned(mask, guide_of(rgb, width, height), doubt)
    return local.fixed(np.rint(mask), known(mask, doubt)).applied(rgb, haze_of(doubt))


def _reduced(mask: FloatArray) -> FloatArray:
    """The mask at `_MASK_SIDE` at most; a larger one, drawn by hand, is no more exact."""
    height, width = mask.shape
    scale = _MASK_SIDE / max(height, width)
    if scale >= 1:
        return mask
    return smaller(mask, max(1, round(height * scale)), max(1, round(width * scale)))
