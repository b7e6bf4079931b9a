"""How much likelier each colour is in the subject than in the background, by histograms."""

from __future__ import annotations

import numpy as np

from shared.arrays import FloatArray

#: Histogram bins per channel: few enough that a small subject fills its bins.
_BINS = 20

#: Added to every bin, so that a colour that never occurs is no evidence for either side.
_UNSEEN = 0.1


def colour_odds(alpha: FloatArray, guide: FloatArray) -> FloatArray:
    """The logarithm of how much likelier each pixel's colour is in the subject; (h, w) float32.

    Each pixel counts for its side, weighted by how certain that side is.

    Args:
        alpha: (h, w) float32 in 0..1, an estimate.
        guide: (h, w, 3) float32 in -0.5..0.5.
    """
    certain = (2 * alpha - 1) ** 2
    steps = np.clip((guide + 0.5) * _BINS, 0, _BINS - 1).astype(np.intp)
    index = (steps[..., 0] * _BINS + steps[..., 1]) * _BINS + steps[..., 2]
    subject = _histogram(index, certain * alpha)
    background = _histogram(index, certain * (1 - alpha))
    ratio = np.log((subject + _UNSEEN) / (background + _UNSEEN))
    return np.asarray(ratio.ravel()[index], np.float32)


def _histogram(
    index: np.ndarray[tuple[int, int], np.dtype[np.intp]], weights: FloatArray
) -> FloatArray:
    """(bins, bins, bins), smoothed by [1 2 1] along each channel."""
    flat = np.bincount(index.ravel(), weights.ravel(), _BINS**3)
    counts = np.pad(flat.astype(np.float32).reshape(_BINS, _BINS, _BINS), 1)
    for axis in range(3):
        counts += (np.roll(counts, 1, axis) - 2 * counts + np.roll(counts, -1, axis)) / 4
    return counts[1:-1, 1:-1, 1:-1]
