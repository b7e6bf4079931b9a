"""Specks and pinholes, taken out of a mask."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.images.photo import FloatArray, UInt8Array

#: Of the mask's area: smaller islands and holes are a model's noise, not a subject's shape.
SMALLEST = 0.0002

Spot = tuple[int, int]
BoolArray = NDArray[np.bool_]


def cleaned(mask: FloatArray, kept: Sequence[Spot] = (), open_: Sequence[Spot] = ()) -> FloatArray:
    """A soft (h, w) mask in 0..1 without islands and holes below `SMALLEST` of its area.

    Args:
        mask: the mask.
        kept: pixels (x, y) whose island stays however small: clicks on the subject.
        open_: pixels whose hole stays: clicks on the background.
    """
    solid = mask > 0.5
    limit = SMALLEST * mask.size
    islands = _small(solid, limit, kept)
    holes = _small(~solid, limit, open_)
    if not islands.any() and not holes.any():
        return mask
    # With a margin: a speck's soft surroundings go with it, but never the rest of the subject.
    margin = np.ones((3, 3), np.uint8)
    result = mask.copy()
    result[cv2.dilate(islands, margin).astype(bool) & (~solid | islands.astype(bool))] = 0
    result[cv2.dilate(holes, margin).astype(bool) & (solid | holes.astype(bool))] = 1
    return result


def _small(region: BoolArray, limit: float, spared: Sequence[Spot]) -> UInt8Array:
    """(h, w) uint8, 1 on the pieces of `region` smaller than `limit` pixels."""
    _count, labels, stats, _ = cv2.connectedComponentsWithStats(
        region.astype(np.uint8), connectivity=8
    )
    small = stats[:, cv2.CC_STAT_AREA] < limit
    small[0] = False  # what is not in the region
    for x, y in spared:
        small[labels[y, x]] = False
    return np.asarray(small[labels], np.uint8)
