"""Comparing and ranking masks; needs only NumPy, so code without torch can import it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.arrays import BoolArray, FloatArray
from shared.errors import SegmenterFailed

#: Logit offset for stability, the default of SAM's automatic mask generator.
STABILITY_OFFSET = 1.0


def iou(one: BoolArray, other: BoolArray) -> float:
    """Intersection over union of two (h, w) masks, 0..1; 1 for two empty masks."""
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
        """Reject NaN and infinity.

        Raises:
            SegmenterFailed: a logit or a predicted IoU is not finite.
        """
        if not (np.isfinite(self.logits).all() and np.isfinite(self.ious).all()):
            raise SegmenterFailed("the model answered with values that are not numbers")


def stability(logits: FloatArray) -> FloatArray:
    """Stability of each of (C, h, w) masks under a change of threshold, 0..1; 0 if empty.

    It is the IoU of the masks at ±`STABILITY_OFFSET`: the smaller lies within the larger, so it
    equals the ratio of their areas (`calculate_stability_score` in segment_anything/utils/amg.py).
    """
    smaller = np.count_nonzero(logits > STABILITY_OFFSET, axis=(1, 2))
    larger = np.count_nonzero(logits > -STABILITY_OFFSET, axis=(1, 2))
    return np.asarray(smaller / np.maximum(larger, 1), np.float32)


def ranking(ious: FloatArray, stabilities: FloatArray) -> NDArray[np.intp]:
    """The candidates' indices, best first, by predicted IoU × stability.

    The stability lowers the rank of a mask with an uncertain edge, and puts an empty one last. Ties
    go to the higher predicted IoU, then to the first.
    """
    return np.lexsort((-ious, -(np.clip(ious, 0, 1) * stabilities)))
