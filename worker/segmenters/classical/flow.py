"""Computes the minimum cut for any log odds with OpenCV's max-flow.

OpenCV offers its max-flow only inside `cv2.grabCut`. With frozen models it uses the mixtures it is
given, so the log odds are passed as part of an image: plane 0 holds them, quantised, and two
one-component mixtures with equal variance have a log ratio that is linear in that plane. The
other two planes hold colour for the contrast-sensitive smoothness (Rother, Kolmogorov, Blake:
"GrabCut", SIGGRAPH 2004, equations 8 to 11). The mixtures have so large a variance in these two
planes that they do not affect the log ratio.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.arrays import BoolArray, FloatArray, UInt8Array

SignArray = NDArray[np.int8]

# Number of levels of plane 0. The plane also adds to the contrast, which is useful: a change in the
# odds is a good place to cut. Values from 16 to 160 give the same cuts within 0.02.
_LEVELS = 64.0
_WIDE = 1e7


def _mixture(mean: float, variance: float) -> NDArray[np.float64]:
    """A one-component mixture in OpenCV's layout, (1, 65) float64.

    The layout is 5 weights, 5 means of 3 and 5 covariances of 3 × 3; only the first is used.
    """
    model = np.zeros((1, 65))
    model[0, 0] = 1.0
    model[0, 5:8] = (mean, 128.0, 128.0)
    model[0, 20:] = np.tile(np.diag((variance, _WIDE, _WIDE)).ravel(), 5)
    return model


def minimum_cut(
    odds: FloatArray, fixed: SignArray, contrast: UInt8Array, stiffness: float, bound: float
) -> BoolArray:
    """Find the region of least energy, (h, w) bool.

    Args:
        odds: (h, w) float32 log odds of being subject, clipped to ± `bound`.
        fixed: (h, w) int8, 1 for subject, −1 for background, 0 where the cut decides.
        contrast: (h, w, 2) uint8 colour planes.
        stiffness: weight of smoothness relative to the odds; 1 is OpenCV's own balance.
        bound: the largest absolute log odds.
    """
    if not (fixed == 0).any():
        decided: BoolArray = fixed > 0
        return decided
    level = np.clip((odds / bound + 1.0) * (0.5 * _LEVELS), 0.0, _LEVELS)
    image = np.dstack((np.rint(level).astype(np.uint8), contrast))
    # log N(c; L, v) − log N(c; 0, v) = L (c − L/2) / v, and c − L/2 = odds · L / (2 bound).
    variance = _LEVELS * _LEVELS / (2.0 * bound) * stiffness
    labels = np.where(odds > 0.0, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[fixed > 0] = cv2.GC_FGD
    labels[fixed < 0] = cv2.GC_BGD
    ground, subject = _mixture(0.0, variance), _mixture(_LEVELS, variance)
    cv2.grabCut(image, labels, (0, 0, 1, 1), ground, subject, 1, cv2.GC_EVAL_FREEZE_MODEL)
    region: BoolArray = (labels & 1).astype(bool)
    return region
