"""Masks compared and ranked. Needs NumPy only, so that what runs without torch can import it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.arrays import BoolArray, FloatArray
from shared.errors import SegmenterFailed

#: How far from the threshold stability is measured; SAM's automatic mask generator's own.
STABILITY_OFFSET = 1.0


def iou(one: BoolArray, other: BoolArray) -> float:
    """Intersection over union of two (h, w) masks, 0..1; two empty masks agree: 1."""
    union = int((one | other).sum())
    return float((one & other).sum()) / union if union else 1.0


@dataclass(frozen=True, slots=True)
class Candidates:
    """The model's masks for one prompt, in its own order.

    Attributes:
        logits: (C, h, w) float32; the mask is where they are above 0.
        ious: (C,) float32, the overlap with the true mask that the model predicts of each.
    """

    logits: FloatArray
    ious: FloatArray

    def require_finite(self) -> None:
        """Refuse what is no number.

        Raises:
            SegmenterFailed: there is a NaN or an infinity.
        """
        if not (np.isfinite(self.logits).all() and np.isfinite(self.ious).all()):
            raise SegmenterFailed("the model answered with values that are not numbers")


def stability(logits: FloatArray) -> FloatArray:
    """How little each of (C, h, w) masks depends on its threshold, 0..1; 0 where it is empty.

    The overlap of the masks at ±`STABILITY_OFFSET`: the smaller lies within the larger, so it is
    the ratio of their areas (`calculate_stability_score` in segment_anything/utils/amg.py).
    """
    smaller = np.count_nonzero(logits > STABILITY_OFFSET, axis=(1, 2))
    larger = np.count_nonzero(logits > -STABILITY_OFFSET, axis=(1, 2))
    return np.asarray(smaller / np.maximum(larger, 1), np.float32)


def ranking(ious: FloatArray, stabilities: FloatArray) -> NDArray[np.intp]:
    """The candidates' indices, best first, by predicted IoU × stability.

    The model's own estimate leads; a mask that changes with its threshold has an edge that nobody
    can publish, and an empty one is last. Of equals the higher prediction wins, then the first.
    """
    return np.lexsort((-ious, -(np.clip(ious, 0, 1) * stabilities)))
