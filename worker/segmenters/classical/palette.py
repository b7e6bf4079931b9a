"""A photo's own colours and sharpnesses, as a short list, and histograms over it.

GrabCut's colour models are Gaussian mixtures, learned anew in each round of each hypothesis. All
hypotheses here share one vector-quantised photo instead: a model is then a count, and learning
one costs a tenth of a millisecond.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.arrays import FloatArray

#: Entries. 48, 96 and 192 cut alike.
ENTRIES = 96

#: The standard deviation by which a count spreads to similar entries, in Lab units. Less and
#: small regions are taken for a model of their own; more and close colours run together.
SPREAD = 6.0

#: Log odds beyond which one pixel's colour may not vote.
SUREST = 5.0

_SAMPLES = 6000
_FLOOR = 1e-3


@dataclass(frozen=True, slots=True)
class Palette:
    """The entries of a photo.

    Attributes:
        centres: (K, 4) float32, in the units of `view.features_of`.
        kernel: (K, K) float32, how much of a count of one entry is lent to another.
    """

    centres: FloatArray
    kernel: FloatArray

    @property
    def nbytes(self) -> int:
        return self.centres.nbytes + self.kernel.nbytes


def mix_palette(features: FloatArray) -> Palette:
    """The entries of (N, 4) features, by k-means on a fixed sample from a fixed seed."""
    sample = np.ascontiguousarray(features[:: max(1, len(features) // _SAMPLES)])
    cv2.setRNGSeed(0)  # one global generator in OpenCV: calls come from the device's thread only
    criteria = (cv2.TERM_CRITERIA_MAX_ITER + cv2.TERM_CRITERIA_EPS, 10, 0.5)
    count = min(ENTRIES, len(sample))
    labels = np.zeros((len(sample), 1), dtype=np.int32)
    _, _, found = cv2.kmeans(sample, count, labels, criteria, 1, cv2.KMEANS_PP_CENTERS)
    centres = np.unique(np.nan_to_num(np.asarray(found, dtype=np.float32)), axis=0)
    squares = ((centres[:, None] - centres[None]) ** 2).sum(axis=-1)
    kernel = np.exp(-squares / (2.0 * SPREAD**2))
    return Palette(centres.astype(np.float32), kernel.astype(np.float32))


def nearest(features: FloatArray, palette: Palette) -> NDArray[np.intp]:
    """(N,) index of the entry nearest to each of (N, 4) features."""
    centres = palette.centres
    distances = (centres**2).sum(axis=1) - 2.0 * (features @ centres.T)
    indices: NDArray[np.intp] = distances.argmin(axis=1)
    return indices


def histogram(codes: NDArray[np.intp], weights: FloatArray, palette: Palette) -> FloatArray:
    """(K,) float32 summing to one (or all zero): the share of each entry under (h, w) weights."""
    counts = np.bincount(codes.ravel(), weights=weights.ravel(), minlength=len(palette.centres))
    spread = counts.astype(np.float32) @ palette.kernel
    total = float(spread.sum())
    share: FloatArray = spread / total if total > 0.0 else spread
    return share


def log_odds(subject: FloatArray, ground: FloatArray) -> FloatArray:
    """(…, K) float32 log of subject over ground for each entry, bounded by `SUREST`."""
    floor = _FLOOR / subject.shape[-1]
    odds: FloatArray = np.log((subject + floor) / (ground + floor))
    return np.clip(odds, -SUREST, SUREST)


def separation(one: FloatArray, other: FloatArray) -> float:
    """How unlike two histograms are, 0..1: one less the Bhattacharyya coefficient."""
    return 1.0 - float(np.sqrt(one * other).sum())
